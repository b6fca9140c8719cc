import type * as EventStore from '@eventstore/db-client'

/** The client that this process tests with: `TIDEMARK_ESDB_CLIENT`, set by the vitest project. */
export type EsdbClientName = 'eventstore' | 'kurrentdb'

export const clientName: EsdbClientName =
  process.env.TIDEMARK_ESDB_CLIENT === 'kurrentdb' ? 'kurrentdb' : 'eventstore'

/** The older client's types, which the newer one keeps, but for what `expecting` is for. */
export type Client = EventStore.EventStoreDBClient
export type ClientModule = typeof EventStore

/** The module of this process's client. Never import the other one: the two clash on a global. */
export const client: ClientModule =
  clientName === 'kurrentdb'
    ? ((await import('@kurrent/kurrentdb-client')) as unknown as ClientModule)
    : await import('@eventstore/db-client')

/** A client of this process's kind for that server. Dispose of it. */
export function connect({ connectionString }: { readonly connectionString: string }): Client {
  if (clientName === 'eventstore') return client.EventStoreDBClient.connectionString(connectionString)
  // The newer client takes the old scheme too, with a warning on standard output.
  const { KurrentDBClient } = client as unknown as { KurrentDBClient: typeof EventStore.EventStoreDBClient }
  return KurrentDBClient.connectionString(connectionString.replace(/^esdb/, 'kurrentdb'))
}

/** The option that carries an append's expected revision: the newer client renamed it. */
export function expecting(
  revision: bigint | 'any' | 'no_stream' | 'stream_exists',
): Pick<EventStore.AppendToStreamOptions, 'expectedRevision'> {
  return clientName === 'eventstore'
    ? { expectedRevision: revision }
    : ({ streamState: revision } as Pick<EventStore.AppendToStreamOptions, 'expectedRevision'>)
}
