import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import type { EsdbClient } from './client.ts'
import { type ClientInUse, type ClientOption, clientInUse } from './client-in-use.ts'
import type { EsdbFilter } from './filter.ts'

interface EsdbSourceOptions<C> {
  /**
   * The client that the application has, of `@eventstore/db-client` or `@kurrent/kurrentdb-client`, which is never disposed of
   * here; or a function that makes one, which heals reads after a leader has died: see `ClientOption`.
   */
  readonly client: ClientOption<C>
  /**
   * Names this store in checkpoints and metrics.
   * - Change it when: two sources of a process would have the same name.
   * @default the stream's name, or `$all`
   */
  readonly name?: string
  /**
   * Whether the events that links point to are handed out.
   * - `true`: with their links, as `ResolvedEvent`s of the client; where the target is gone, `event` is undefined. The server
   * looks each target up. Positions are always the links' own.
   * - Change it when: the stream is one of links, as `$ce-…`.
   * @default false
   */
  readonly resolveLinkTos?: boolean
  /**
   * How long nothing may come from the server before a poll or a page is given up and tried again. Neither client has a
   * deadline for reads.
   * - Raising it: a server that hangs goes unnoticed for longer.
   * - Lowering it: below what the server takes for one event, no read ever succeeds.
   * - Change it when: a hanging server has to be noticed sooner, or reads fail on a slow one.
   * @default 30000
   */
  readonly timeoutMs?: number
}

/** Of `esdbEvents` over one stream. */
export interface EsdbStreamEventsOptions<C> extends EsdbSourceOptions<C> {
  /** The stream to read, also one of links (`$ce-…`, with `resolveLinkTos`). Leave it out for `$all`. */
  readonly stream: string
  readonly filter?: never
}

/** Of `esdbEvents` over `$all`. */
export interface EsdbAllEventsOptions<C> extends EsdbSourceOptions<C> {
  readonly stream?: never
  /**
   * Which events of `$all` are handed out. It is applied here: all of `$all` comes over the network. Tidemark's own
   * checkpoints are never handed out, whatever it says.
   * - Change it when: handlers need few types or streams. It saves their work, and no transfer.
   * @default all but those whose type or stream begins with `$`
   */
  readonly filter?: EsdbFilter
}

const EVENTS_OPTIONS: Readonly<
  Record<keyof EsdbStreamEventsOptions<unknown> | keyof EsdbAllEventsOptions<unknown>, true>
> = {
  client: true,
  stream: true,
  filter: true,
  name: true,
  resolveLinkTos: true,
  timeoutMs: true,
}

export interface ResolvedEsdbEventsOptions<C extends object> {
  readonly client: ClientInUse<C>
  readonly stream: string | undefined
  readonly filter: EsdbFilter | undefined
  readonly name: string
  readonly resolveLinkTos: boolean
  readonly timeoutMs: number
}

/** timeoutMs: far beyond what a poll or a page takes, and short beside the hours for which TCP waits by itself. */
export const ESDB_EVENTS_DEFAULTS: { readonly timeoutMs: number } = Object.freeze({ timeoutMs: 30_000 })

export function resolveEsdbEventsOptions<C extends EsdbClient>(
  options: EsdbStreamEventsOptions<C> | EsdbAllEventsOptions<C>,
): ResolvedEsdbEventsOptions<C> {
  requireKnownOptions(options, EVENTS_OPTIONS)
  const { client, stream, filter, resolveLinkTos = false } = options
  if (stream !== undefined) requireText('stream', stream)
  if (stream === '$all') throw new InvalidOptionError('stream', 'one stream (leave it out for $all)', stream)
  if (stream !== undefined && filter !== undefined) {
    throw new InvalidOptionError('filter', 'none beside stream: the server filters $all only', filter)
  }
  if (typeof resolveLinkTos !== 'boolean')
    throw new InvalidOptionError('resolveLinkTos', 'a boolean', resolveLinkTos)
  return Object.freeze({
    client: clientInUse(client, ['readStream', 'readAll', 'subscribeToStream', 'subscribeToAll']),
    stream,
    filter,
    name: requireText('name', options.name ?? stream ?? '$all'),
    resolveLinkTos,
    timeoutMs: resolveTimeout(options.timeoutMs),
  })
}

export function resolveTimeout(timeoutMs: unknown = ESDB_EVENTS_DEFAULTS.timeoutMs): number {
  if (typeof timeoutMs !== 'number' || !Number.isFinite(timeoutMs) || timeoutMs <= 0) {
    throw new InvalidOptionError('timeoutMs', 'a number of milliseconds above 0', timeoutMs)
  }
  return timeoutMs
}

export function requireText(option: string, value: unknown): string {
  if (typeof value !== 'string' || value === '')
    throw new InvalidOptionError(option, 'a non-empty string', value)
  return value
}
