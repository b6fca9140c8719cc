import type { IncomingMessage } from 'node:http'
import { InvalidOptionError, type Watch } from '@tidemark/core'
import { requireKnownOptions } from '@tidemark/core/adapter'
import { createOperations, type Operations, type OperationsOptions } from '@tidemark/core/operations'
import type { EventsConfig, ReadStore, StatusReader } from './status/reader.ts'

/** Who looks at the console. */
export interface Viewer {
  /** For the audit, and for the people who read it: a name that they know. At most 255 characters. */
  readonly who: string
  /**
   * Whether this viewer may do what the console can do.
   * @default true, where the option `actions` is `true`
   */
  readonly actions?: boolean
}

/** What the console reads, and what it may do. */
export interface ConsoleParts {
  /** A `pg.Pool`, or anything with its `connect`. A look takes one of its connections at a time. */
  readonly pool: StatusReader['pool']
  /** The checkpoints that the daemons have: `postgresCheckpoints(...)` with the same database and schema. */
  readonly checkpoints: OperationsOptions<bigint>['checkpoints'] & ReadStore
  /**
   * Where the events are, as `postgresEvents` is told it, without its `pool`: one table, or each of several.
   * - Change it when: the position is not called `position`, the events are in a table of another name than their source, or types are to be shown (`eventType`).
   * @default the tables that the checkpoints are named after
   */
  readonly events?: EventsConfig | readonly EventsConfig[]
  /**
   * Watches of this process (`createWatch`), which are shown with what they have found.
   * - Change it when: consumers that Tidemark does not run are watched here. Of a watch elsewhere the page shows what it keeps in its `ledger`.
   * @default none
   */
  readonly watches?: readonly Pick<Watch, 'status'>[]
  /**
   * Whether the page can change anything: pause, move, retry, discard and the like.
   * - `false`: it only reads, whoever looks; every request that would change something is refused.
   * - `true`: whoever `authorize` lets in may do what operators do, unless it says `actions: false` of them.
   * - Change it when: those whom `authorize` lets in are those who operate the projections.
   * @default false
   */
  readonly actions?: boolean
  /**
   * Whether the data of events may be shown: of a dead letter, on demand; and the statements of those that hold a mark.
   * - `false`: no request reads any of it. Positions, types and errors are shown all the same.
   * - `true`: whoever may look may read the events that were given up, as `redact` leaves them.
   * - Change it when: those who look may read what is in the events.
   * @default false
   */
  readonly showEventData?: boolean
  /**
   * What is shown of an event where data may be shown. It is given a row of the table. Where it throws, nothing is shown.
   * - Change it when: some of it is nobody's business: names, addresses, secrets.
   * @default the whole event
   */
  readonly redact?: (event: unknown) => unknown
  /**
   * How often the database is looked at, while anybody looks at the page. All who look share one look.
   * - Raising it: fewer statements; what is shown is older.
   * - Lowering it: newer, and more statements: a look has about twenty.
   * - Change it when: the database is busy or far away, or a second matters.
   * @default 2000
   */
  readonly lookEveryMs?: number
  /**
   * How long one statement of a look may take.
   * - Raising it: a slow database is waited for.
   * - Lowering it: the page says sooner that it gets no answer.
   * - Change it when: looks fail since the database is slow.
   * @default 10000
   */
  readonly queryTimeoutMs?: number
  /**
   * What people know the database by. Shown at the top of the page.
   * - Change it when: there are several, as of staging and production.
   * @default nothing
   */
  readonly called?: string
}

export interface ConsoleOptions extends ConsoleParts {
  /**
   * Who has sent a request: of a session, a header of a proxy in front, whatever the host has. `undefined`: nobody who may look;
   * the request is refused. Called for each request.
   */
  readonly authorize: (request: IncomingMessage) => Viewer | undefined | Promise<Viewer | undefined>
  /**
   * Below which path the handler is mounted, where requests come with their whole path: `/console`.
   * - Change it when: the server does not cut that off itself. Express does (`app.use('/console', handler)`); Fastify and node:http do not.
   * @default none
   */
  readonly basePath?: string
  /**
   * How many requests one viewer may send in a minute. More are refused with 429.
   * - Raising it: programs that read the routes may ask more often; one of them can load the database more.
   * - Lowering it: less of the database for one viewer; a page needs about 60.
   * - Change it when: something else than the page reads the routes.
   * @unit requests
   * @default 600
   */
  readonly requestsPerMinute?: number
  /**
   * How many pages may be live at once, of all viewers. More are refused with 503; these pages ask again and again in place of it.
   * - Raising it: more open connections of this process.
   * - Lowering it: fewer.
   * - Change it when: more people look at once.
   * @unit streams
   * @default 100
   */
  readonly liveStreams?: number
}

/** lookEveryMs: as often as a person looks. requestsPerMinute: ten times what a page needs that polls. */
export const CONSOLE_DEFAULTS: {
  readonly lookEveryMs: number
  readonly queryTimeoutMs: number
  readonly requestsPerMinute: number
  readonly liveStreams: number
} = Object.freeze({
  lookEveryMs: 2_000,
  queryTimeoutMs: 10_000,
  requestsPerMinute: 600,
  liveStreams: 100,
})

export const CONSOLE_PARTS: Readonly<Record<keyof ConsoleParts, true>> = {
  pool: true,
  checkpoints: true,
  events: true,
  watches: true,
  actions: true,
  showEventData: true,
  redact: true,
  lookEveryMs: true,
  queryTimeoutMs: true,
  called: true,
}
const CONSOLE_OPTIONS: Readonly<Record<keyof ConsoleOptions, true>> = {
  ...CONSOLE_PARTS,
  authorize: true,
  basePath: true,
  requestsPerMinute: true,
  liveStreams: true,
}

export interface ResolvedConsoleOptions {
  readonly pool: ConsoleParts['pool']
  readonly checkpoints: ConsoleParts['checkpoints']
  readonly operations: Operations<never>
  readonly events: ConsoleParts['events']
  readonly watches: readonly Pick<Watch, 'status'>[]
  readonly actions: boolean
  readonly showEventData: boolean
  readonly redact: (event: unknown) => unknown
  readonly lookEveryMs: number
  readonly queryTimeoutMs: number
  readonly called: string | undefined
  readonly authorize: ConsoleOptions['authorize']
  readonly basePath: string
  readonly requestsPerMinute: number
  readonly liveStreams: number
}

/** Throws `InvalidOptionError`, or `UnsupportedByStoreError` where the store keeps nothing of what operators want. */
export function resolveConsoleOptions(options: ConsoleOptions): ResolvedConsoleOptions {
  requireKnownOptions(options, CONSOLE_OPTIONS)
  const { pool, checkpoints, events, watches = [], authorize, basePath = '', called } = options
  const { actions = false, showEventData = false, redact = (event: unknown) => event } = options
  if (typeof pool?.connect !== 'function')
    throw new InvalidOptionError('pool', 'a pg.Pool, or anything with its connect()', pool)
  if (typeof authorize !== 'function') {
    throw new InvalidOptionError(
      'authorize',
      'a function that says who has sent a request: the console lets nobody in by itself',
      authorize,
    )
  }
  if (typeof redact !== 'function') throw new InvalidOptionError('redact', 'a function of an event', redact)
  requireBoolean('actions', actions)
  requireBoolean('showEventData', showEventData)
  if (!Array.isArray(watches) || watches.some((watch) => typeof watch?.status !== 'function')) {
    throw new InvalidOptionError('watches', 'an array of what createWatch gives', watches)
  }
  for (const [n, each] of [events ?? []].flat().entries()) {
    if (typeof each?.table !== 'string')
      throw new InvalidOptionError(`events[${n}].table`, 'the name of a table', each?.table)
  }
  if (typeof basePath !== 'string' || !/^(\/[\w.~-]+)*$/.test(basePath)) {
    throw new InvalidOptionError('basePath', "a path as '/console', without a slash at its end", basePath)
  }
  if (called !== undefined && typeof called !== 'string')
    throw new InvalidOptionError('called', 'a text', called)
  const operations = createOperations({ checkpoints })
  return Object.freeze({
    pool,
    checkpoints,
    operations,
    events,
    watches,
    actions,
    showEventData,
    redact,
    called,
    authorize,
    basePath,
    lookEveryMs: atLeast(options, 'lookEveryMs', 100),
    queryTimeoutMs: atLeast(options, 'queryTimeoutMs', 1),
    requestsPerMinute: atLeast(options, 'requestsPerMinute', 1),
    liveStreams: atLeast(options, 'liveStreams', 0),
  })
}

const LONGEST_MS = 2_147_483_647

function atLeast(options: ConsoleOptions, name: keyof typeof CONSOLE_DEFAULTS, least: number): number {
  const value = options[name] ?? CONSOLE_DEFAULTS[name]
  if (!Number.isSafeInteger(value) || value < least || value > LONGEST_MS) {
    throw new InvalidOptionError(name, `an integer of at least ${least}`, value)
  }
  return value
}

function requireBoolean(option: string, value: unknown): void {
  if (typeof value !== 'boolean') throw new InvalidOptionError(option, 'true or false', value)
}
