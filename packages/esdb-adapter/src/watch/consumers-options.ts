import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import { type ClientInUse, type ClientOption, clientInUse } from '../client-in-use.ts'
import { requireText, resolveTimeout } from '../options.ts'
import type { EsdbGroupClient } from '../subscription/consumer-group.ts'

/** The group of a persistent subscription. */
export interface WatchedGroup {
  /** The stream that it subscribes to, or `$all`. */
  readonly stream: string
  readonly group: string
}

/** A stream whose last event is the checkpoint of a consumer. */
export interface WatchedCheckpointStream {
  /** Where the checkpoints are appended. It names the consumer. */
  readonly stream: string
  /** What the checkpoint is a position of: a stream, or `$all`. */
  readonly of: string
  /** The field of the event's data that has it. Absent: the data is the checkpoint itself. */
  readonly field?: string
}

export interface EsdbConsumersOptions {
  /** As in `esdbEvents`. Reading groups needs the right to do so: an administrator's, by default. */
  readonly client: ClientOption<EsdbGroupClient>
  /**
   * The groups of persistent subscriptions that are to be watched.
   * - Change it when: you have such groups.
   * @default none
   */
  readonly groups?: readonly WatchedGroup[]
  /**
   * The streams in which catch-up subscriptions append their checkpoints. A checkpoint is a revision as a number or a text;
   * of `$all` also `commit/prepare`, `C:commit/P:prepare`, or an object with `commit` and `prepare`.
   * - Change it when: a catch-up subscription keeps its checkpoint in the store.
   * @default none
   */
  readonly checkpointStreams?: readonly WatchedCheckpointStream[]
  /**
   * Names this store in metrics and messages: a consumer is shown as `name.stream::group`, or `name.` and its checkpoint stream.
   * - Change it when: consumers of two stores are watched together.
   * @default 'esdb'
   */
  readonly name?: string
  /**
   * How long nothing may come from the server before a read is given up, and tried again at the next look.
   * - Raising it: a server that hangs goes unnoticed for longer.
   * - Lowering it: on a slow server looks fail more often.
   * - Change it when: looks fail on a slow server.
   * @default 30000
   */
  readonly timeoutMs?: number
}

export interface ResolvedEsdbConsumersOptions {
  readonly client: ClientInUse<EsdbGroupClient>
  readonly groups: readonly WatchedGroup[]
  readonly checkpointStreams: readonly WatchedCheckpointStream[]
  readonly name: string
  readonly timeoutMs: number
}

const OPTIONS: Readonly<Record<keyof EsdbConsumersOptions, true>> = {
  client: true,
  groups: true,
  checkpointStreams: true,
  name: true,
  timeoutMs: true,
}
const GROUP: Readonly<Record<keyof WatchedGroup, true>> = { stream: true, group: true }
const CHECKPOINT_STREAM: Readonly<Record<keyof WatchedCheckpointStream, true>> = {
  stream: true,
  of: true,
  field: true,
}

/** What the group is called, as the server does. */
export function groupName({ stream, group }: WatchedGroup): string {
  return `${stream}::${group}`
}

/** With every default. Throws `InvalidOptionError`. */
export function resolveEsdbConsumersOptions(options: EsdbConsumersOptions): ResolvedEsdbConsumersOptions {
  requireKnownOptions(options, OPTIONS)
  const { client, groups = [], checkpointStreams = [] } = options
  requireList('groups', groups)
  requireList('checkpointStreams', checkpointStreams)
  groups.forEach((each, index) => {
    const option = `groups[${index}]`
    requireKnownOptions(each, GROUP, option)
    requireText(`${option}.stream`, each.stream)
    requireText(`${option}.group`, each.group)
  })
  checkpointStreams.forEach((each, index) => {
    const option = `checkpointStreams[${index}]`
    requireKnownOptions(each, CHECKPOINT_STREAM, option)
    requireText(`${option}.stream`, each.stream)
    requireText(`${option}.of`, each.of)
    if (each.field !== undefined) requireText(`${option}.field`, each.field)
  })
  const names = [...groups.map(groupName), ...checkpointStreams.map(({ stream }) => stream)]
  if (names.length === 0) {
    throw new InvalidOptionError('groups', 'a group, or a stream in checkpointStreams', options.groups)
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new InvalidOptionError('groups', 'each group, and each checkpoint stream, once', twice)
  }
  return Object.freeze({
    client: clientInUse(client, [
      'readStream',
      'readAll',
      'getPersistentSubscriptionToStreamInfo',
      'getPersistentSubscriptionToAllInfo',
    ]),
    groups: groups.map((each) => ({ ...each })),
    checkpointStreams: checkpointStreams.map((each) => ({ ...each })),
    name: requireText('name', options.name ?? 'esdb'),
    timeoutMs: resolveTimeout(options.timeoutMs),
  })
}

function requireList(option: string, value: unknown): void {
  if (!Array.isArray(value)) throw new InvalidOptionError(option, 'an array', value)
}
