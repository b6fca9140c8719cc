import { exec } from 'node:child_process'
import { promisify } from 'node:util'
import { isTransientEsdbError } from '@tidemark/esdb-adapter'
import { describe, test } from 'vitest'
import { type GenerationName, isGeneration, NEWEST } from '../support/esdb-server/generations.ts'
import { type EsdbServer, type StartOptions, startEsdbServer } from '../support/esdb-server/server.ts'
import { COMMANDS, type EventToWrite } from '../support/esdb-server/steering.ts'
import { type Client, client, connect } from './client.ts'
import { unique } from './own-names.ts'

const { ESDB_CONNECTION_STRING, ESDB_RESTART_COMMAND, TIDEMARK_ESDB_GENERATION } = process.env

/** Whether tests run against the simulated server, and not against the one that `ESDB_CONNECTION_STRING` names. */
export const isSimulated: boolean = ESDB_CONNECTION_STRING === undefined

/** Whether a test may restart its server. */
export const canRestart: boolean = isSimulated || ESDB_RESTART_COMMAND !== undefined

/**
 * A test that steers the simulated server, or wants one that nobody else writes to. Elsewhere it is skipped, and counted as
 * skipped.
 */
export const steered = test.runIf(isSimulated)
export const describeSteered = describe.runIf(isSimulated)

/** A test that restarts its server: elsewhere skipped without `ESDB_RESTART_COMMAND`. */
export const restarting = test.runIf(canRestart)

/** Of which generation the server is: `TIDEMARK_ESDB_GENERATION`, also of one that is not simulated. */
export const generation: GenerationName = generationOf(TIDEMARK_ESDB_GENERATION)

function generationOf(name: string = NEWEST): GenerationName {
  if (isGeneration(name)) return name
  throw new Error(`TIDEMARK_ESDB_GENERATION is ${name}: there is no such generation of servers`)
}

/** The server that tests run against: a simulated one of their own, or the one that is named. */
export async function startServer(options: StartOptions = {}): Promise<EsdbServer> {
  return ESDB_CONNECTION_STRING === undefined
    ? await startEsdbServer(options)
    : namedServer(ESDB_CONNECTION_STRING)
}

/** What can be done to a server that others use too, through a client. */
function namedServer(connectionString: string): EsdbServer {
  let writer: Client | undefined
  const append = async (stream: string, events: Parameters<Client['appendToStream']>[1]): Promise<void> => {
    writer ??= connect({ connectionString })
    const to = writer
    // The same events again are no others.
    await reached(() => to.appendToStream(stream, events))
  }
  const cannot = (): never => {
    throw new Error('only the simulated server can be told that: declare the test with `steered`')
  }
  return {
    ...(Object.fromEntries(COMMANDS.map((name) => [name, async () => cannot()])) as unknown as EsdbServer),
    connectionString,
    port: 0,
    pid: 0,
    freeze: cannot,
    thaw: cannot,
    write: async (stream, events, how) => {
      if (how?.transaction) cannot()
      if (events.length > 0) await append(stream, events.map(eventOf))
    },
    writeLink: (from, stream, revision) =>
      append(from, client.binaryEvent({ type: '$>', data: Buffer.from(`${revision}@${stream}`) })),
    restart: async ({ keepLog }) => {
      if (!keepLog || ESDB_RESTART_COMMAND === undefined) return cannot()
      await promisify(exec)(ESDB_RESTART_COMMAND)
    },
    writeStatistics: () =>
      append(unique('$stats'), client.jsonEvent({ type: '$statsCollected', data: {} } as never)),
    // Nothing was held back.
    resume: async () => {},
    stop: async () => {
      await writer?.dispose()
      writer = undefined
    },
  }
}

const eventOf = ({ type, data = {}, metadata, id, createdMs }: EventToWrite) => {
  if (createdMs !== undefined) throw new Error('only the simulated server takes a time: use `steered`')
  return client.jsonEvent({
    type,
    data,
    ...(metadata === undefined ? {} : { metadata }),
    ...(id === undefined ? {} : { id }),
  } as Parameters<typeof client.jsonEvent>[0])
}

/** Calls again while the connection is made anew. */
export async function reached<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!isTransientEsdbError(error)) throw error
    }
  }
}
