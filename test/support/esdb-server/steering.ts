import type { ErrorName } from './errors.ts'

/** What a call is, as far as tests tell calls apart. */
export type CallKind = 'read' | 'subscription' | 'persistent-subscription' | 'append' | 'other'

/** Which calls something happens to: every one that fits all that is given. */
export interface CallFilter {
  readonly kind?: CallKind
  /** A stream's name, or `$all`. */
  readonly stream?: string
}

/** A node of a cluster, as one of its nodes has it. */
export interface ClusterNode {
  readonly port: number
  readonly state: 'leader' | 'follower' | 'dead'
}

interface Counters {
  /** Calls that are open now. */
  readonly open: Readonly<Record<CallKind, number>>
  /** Calls received since the process started. A client appends through one call that stays open. */
  readonly received: Readonly<Record<CallKind, number>>
  /** Events written by clients since the process started; none by the server itself or by a test's command. */
  readonly eventsAppended: number
  /** TCP connections that are open now. */
  readonly connections: number
}

export interface EventToWrite {
  readonly type: string
  /** @default {} */
  readonly data?: unknown
  readonly metadata?: unknown
  /** @default a new one */
  readonly id?: string
  /** @default now */
  readonly createdMs?: number
}

/** What a test can tell the server. Each resolves when it has happened in the server's process. */
export interface Steering {
  /** Writes past the clients and without checks: for what a client cannot or should not write. */
  write(stream: string, events: readonly EventToWrite[], how?: { readonly transaction?: boolean }): void
  /** Writes a link to `revision` of `stream`, whether or not there is such an event. */
  writeLink(from: string, stream: string, revision: bigint): void
  /** Writes one event to the statistics stream, as the server does every 30 s. */
  writeStatistics(): void
  /** Leaves bytes of the log to records that no read shows: the next event's position is that much greater. */
  skipBytes(bytes: bigint): void
  /** The stream's next event gets a revision that is greater by `count`, as if those between had been removed. */
  skipRevisions(stream: string, count: bigint): void
  /** Removes the events of these revisions (first and last included) from the disk. */
  scavenge(stream: string, first: bigint, last: bigint): void

  /** Resets (TCP RST) every connection, or those that carry a call of that kind. Resolves to how many. */
  cutConnections(which?: CallFilter): number
  /** Ends open calls with status OK. Resolves to how many. */
  endCalls(which: CallFilter): number
  /** Ends open calls with that error. Resolves to how many. */
  failCalls(which: CallFilter, error: ErrorName, leader?: { host: string; port: number }): number
  /** Answers the next `times` calls with that error. */
  refuseCalls(
    which: CallFilter,
    error: ErrorName,
    times: number,
    leader?: { host: string; port: number },
  ): void
  /** Sends nothing more on these calls, open ones and later ones, once each has had `after` messages (default 0). */
  stall(which: CallFilter, after?: number): void
  /** Waits that long before each message of such calls. */
  delay(which: CallFilter, delayMs: number): void
  /**
   * Does not begin such appends and deletes before `resume`, while what comes behind them is answered: as a server that hung
   * and goes on.
   */
  postpone(which: CallFilter): void
  /** Ends every stall, delay and postponement; what was held back is sent, what was postponed is done. */
  resume(): void
  /** Sends a `fellBehind` to open subscriptions, which today's servers keep to themselves. */
  sendFellBehind(which: CallFilter): number

  /** Closes the port and resets every connection: connecting is refused until `open()` or a restart. */
  close(): void
  open(): Promise<void>
  /** Resets every connection, forgets what is not on disk (and with `keepLog: false` the disk), and opens again. */
  restart(options: { readonly keepLog: boolean }): Promise<void>
  /** What its gossip says from now on, instead of one node that leads. Nothing is replicated: write to each node. */
  setCluster(nodes: readonly ClusterNode[]): void
  counters(): Counters
}

/** Every command, for the side that sends them. */
export const COMMANDS: readonly (keyof Steering)[] = [
  'write',
  'writeLink',
  'writeStatistics',
  'skipBytes',
  'skipRevisions',
  'scavenge',
  'cutConnections',
  'endCalls',
  'failCalls',
  'refuseCalls',
  'stall',
  'delay',
  'postpone',
  'resume',
  'sendFellBehind',
  'close',
  'open',
  'restart',
  'setCluster',
  'counters',
]

export type Command = {
  [Name in keyof Steering]: { readonly name: Name; readonly args: Parameters<Steering[Name]> }
}[keyof Steering]

/** What goes over IPC. */
export interface Request {
  readonly id: number
  readonly command: Command
}
export type Reply =
  | { readonly port: number }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }
