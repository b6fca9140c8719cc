/**
 * All JSON that goes between page and server. Positions, and whatever else may be larger than a number of JavaScript can hold, are
 * texts; moments are milliseconds since 1970, by the clock of the database unless it says otherwise. `null`: not known, or none.
 *
 * Below the base path of the console:
 *
 * | route | answer |
 * | --- | --- |
 * | `GET api/session` | `SessionAnswer` |
 * | `GET api/overview` | `LiveMessage`, with an ETag: the fallback where `api/live` does not come through |
 * | `GET api/live` | server-sent events: each `data` is a `LiveMessage`, each `id` its `id` |
 * | `GET api/history` | `HistoryAnswer` |
 * | `GET api/projection?projection=&version=` | `ProjectionAnswer` |
 * | `GET api/dead-letters?projection=&version=&state=&type=&error=&after=&limit=` | `LettersAnswer`; `state` is open where it is left out, `any` is all |
 * | `GET api/dead-letters/groups?projection=&version=&type=` | `LetterGroupsAnswer`, of the open ones |
 * | `GET api/dead-letters/ID?data=1` | `LetterAnswer`; without `data` nothing is read of its events |
 * | `GET api/skips?projection=&source=&to=&limit=` | `SkipsAnswer` |
 * | `GET api/late?projection=&source=&state=&to=&limit=` | `LateAnswer`; `state` is open where it is left out, `any` is all |
 * | `GET api/nodes` | `NodesAnswer` |
 * | `GET api/node-audit?node=&before=&limit=` | `NodeAuditAnswer` |
 * | `GET api/audit?projection=&before=&limit=` | `AuditAnswer` |
 * | `GET api/doctor` | `DoctorAnswer` |
 * | `POST api/actions/NAME` | an `ActionName`, with the body `ActionBodies[NAME]`: `ActionAnswer` |
 * | `POST api/actions/NAME?dry=1` | the same body, `why` may be left out: `DryAnswer`, and nothing is changed |
 *
 * A POST has `content-type: application/json` and the header `x-tidemark-csrf` with `SessionAnswer.csrf`. Whatever is not answered
 * with 200 or 202 has an `ErrorAnswer`.
 */

import type { About, Problem as StatusProblem } from './status/problem.ts'

/** What is answered where something is not done, with a status of 400 or more. */
export interface ErrorAnswer {
  readonly error: {
    /** Stable: `TIDEMARK_...` of the library, or one of the console's own. */
    readonly code: string
    readonly message: string
    /** What to try. */
    readonly next: readonly string[]
  }
}

/** Who looks, and what they may do. */
export interface SessionAnswer {
  readonly who: string
  /** Whether buttons do anything: else every action is refused. */
  readonly actions: boolean
  /** Whether data of events may be asked for (`?data=1`). */
  readonly showEventData: boolean
  /** For the header of every POST. */
  readonly csrf: string
  /** How often the database is looked at, while anybody looks at the page. */
  readonly lookEveryMs: number
  /** What people know the database by, without a password. */
  readonly called: string | null
  readonly version: string
}

/** The state of everything at one moment, or why there is none. */
export interface LiveMessage {
  /** Greater with each message of one run of the server. */
  readonly id: string
  /** When this message was made, by the clock of the server of the console. */
  readonly sentAtMs: number
  /** Why the newest look failed; `null`: it did not. What is shown below is of an earlier look then. */
  readonly failure: LookFailure | null
  /** The newest look that did not fail; `null`: there was none yet. */
  readonly overview: Overview | null
  /** What was asked for through this server and is going on, or has ended a short while ago; the newest first. */
  readonly jobs: readonly Job[]
}

export interface LookFailure {
  readonly message: string
  readonly code: string
  readonly next: readonly string[]
  /** Since when looks fail, by the clock of the server of the console. */
  readonly sinceMs: number
}

export interface Overview {
  /** When the database was looked at, by the clock of the server of the console. */
  readonly atMs: number
  readonly healthy: boolean
  /** The worst first. */
  readonly problems: readonly Problem[]
  /** What is worth knowing and not wrong. */
  readonly notes: readonly string[]
  readonly marks: readonly Mark[]
  readonly projections: readonly ProjectionRow[]
  readonly watched: readonly WatchedConsumer[]
  /** Lost events as kept in the database, of consumers that Tidemark does not run. */
  readonly lost: readonly LostTotal[]
  readonly letters: { readonly open: number; readonly oldestAtMs: number | null }
  readonly lateEvents: number
  readonly nodes: { readonly alive: number; readonly gone: number }
  /** Parts that the role of the console may not read. */
  readonly hidden: readonly string[]
}

export interface Problem extends StatusProblem {
  readonly about: About
}

/** The mark of a source. */
export interface Mark {
  readonly source: string
  /** The table of its events; `null`: it is not known. */
  readonly table: string | null
  /** Why nothing is known of the mark; `null`: it is known. */
  readonly unknown: string | null
  /** Whether gaps can be proven empty; not where numbers are taken ahead. */
  readonly isProven: boolean
  /** Whether events wait for a transaction that has been open for longer than it takes to write. */
  readonly stands: boolean
  readonly head: string | null
  readonly settled: string | null
  readonly mark: string | null
  /** Positions that may still be filled, both ends included; the lowest first, at most 100. */
  readonly gaps: readonly { readonly from: string; readonly to: string }[]
  /** How many gaps there are in all. */
  readonly gapsCount: number
  readonly holders: readonly Holder[]
  /** SQL that shows more of the holders. */
  readonly lookCloser: string | null
}

/** A transaction that may still fill a gap. Which gap is whose nobody can tell before it is filled. */
export interface Holder {
  /** `pid 4116 (importer)`, `the prepared transaction 'x'` */
  readonly name: string
  readonly transaction: string
  /** `null`: it is a prepared transaction. */
  readonly pid: number | null
  readonly applicationName: string | null
  readonly role: string | null
  readonly address: string | null
  readonly state: string | null
  readonly openForMs: number | null
  /** The server does not show its age to this role: it has been seen for that long. */
  readonly isAgeLeast: boolean
  readonly waitsFor: string | null
  readonly blockedBy: readonly number[]
  /** The beginning of its last statement; `null` unless the console may show data of events: there may be some in it. */
  readonly lastStatement: string | null
  /** SQL that ends it; what it has not committed is rolled back. */
  readonly endedBy: string | null
}

/**
 * - `follows`: it has handled everything up to the mark
 * - `works`: it is behind, and moves
 * - `fails`: its daemon fails at an event, and tries again or has given up
 * - `stands`: it is behind, and has not moved for a while
 * - `replays`: it handles again what was handled before
 * - `paused`: an operator has paused it
 * - `retired`: a version that stands still for good
 * - `unknown`: the mark is not known
 */
export type ProjectionState =
  | 'follows'
  | 'works'
  | 'fails'
  | 'stands'
  | 'replays'
  | 'paused'
  | 'retired'
  | 'unknown'
export type Role = 'live' | 'beside' | 'retired'

/** A version of a projection. */
export interface ProjectionRow {
  /** `orders`, and `orders@2` of its version 2: one text for each row. */
  readonly name: string
  readonly projection: string
  readonly version: number
  readonly role: Role
  readonly source: string
  readonly shards: number
  readonly state: ProjectionState
  /** Of several shards the least. `null`: it has handled nothing yet. */
  readonly position: string | null
  /** Positions up to the mark; of several shards those of the last one. */
  readonly behind: string | null
  /** Positions that it has passed in a second, over the last looks. */
  readonly perSecond: number | null
  /** How long until it has come up to the mark of now, at that rate. `null`: not known, or it is there. */
  readonly leftMs: number | null
  readonly changedAtMs: number | null
  /** Nodes that have it by a lease; empty where daemons share nothing by leases, or none has it. */
  readonly owners: readonly string[]
  readonly pausedBy: Decision | null
  /** What a node is asked to do and has not done. */
  readonly asked: PendingRequest | null
  readonly deadLetters: number
  readonly lateEvents: number
  /** Positions or events that were skipped, by reason. */
  readonly skipped: Readonly<Record<string, string>>
}

export interface Decision {
  readonly who: string
  readonly why: string
  /** 0: not known. */
  readonly sinceMs: number
}

export interface PendingRequest extends Decision {
  readonly operation: 'rebuild' | 'switch' | 'skip'
  /** Of a `skip`: where the event is. */
  readonly position: string | null
}

/** A consumer that Tidemark does not run, as the watch of this process sees it. */
export interface WatchedConsumer {
  readonly source: string
  /** Of its watch. `failing`: nothing is seen meanwhile. */
  readonly state: 'idle' | 'watching' | 'failing' | 'stopped'
  readonly error: string | null
  readonly consumer: string
  readonly checkpoint: string
  readonly isUnderstood: boolean
  readonly lagPositions: string | null
  readonly lagMs: number | null
  /** For how long its checkpoint has stood where it is. */
  readonly ageMs: number
  readonly exposedPositions: string | null
  readonly unconfirmed: number
  readonly lost: number
  readonly passed: number
}

export interface LostTotal {
  readonly source: string
  readonly consumer: string
  /** `passed`: nobody has said whether it handles these types. */
  readonly verdict: 'lost' | 'passed'
  readonly events: number
}

/** One thing that was asked for. Closing the page stops nothing; the server's end does, of what is done piece by piece. */
export interface Job {
  readonly id: string
  readonly action: ActionName
  /** In words: what is done to what. */
  readonly what: string
  readonly who: string
  readonly why: string
  /** By the clock of the server of the console, as `endedAtMs`. */
  readonly startedAtMs: number
  readonly endedAtMs: number | null
  /** `asked`: it stays asked for, and whoever waited for it here has given up. */
  readonly state: 'running' | 'done' | 'asked' | 'failed'
  readonly done: number | null
  readonly of: number | null
  /** What it has come to, in words. */
  readonly outcome: string | null
  readonly error: ErrorAnswer['error'] | null
}

/** The last minutes, a sample every few seconds while anybody looked. All arrays are as long as `atMs`. */
export interface HistoryAnswer {
  readonly atMs: readonly number[]
  readonly marks: readonly {
    readonly source: string
    readonly head: readonly (string | null)[]
    readonly settled: readonly (string | null)[]
    readonly mark: readonly (string | null)[]
    readonly gaps: readonly (number | null)[]
  }[]
  readonly projections: readonly {
    readonly name: string
    readonly behind: readonly (number | null)[]
  }[]
}

export interface ProjectionAnswer {
  readonly atMs: number
  readonly rows: readonly ProjectionRow[]
  /** Of all versions. */
  readonly shards: readonly Shard[]
  /** The newest first. */
  readonly audit: readonly AuditEntry[]
  readonly deadLetters: readonly LetterCount[]
  readonly problems: readonly Problem[]
}

export interface Shard {
  /** `orders`, `orders[256-511]`, `orders@2`. */
  readonly name: string
  readonly version: number
  readonly slots: Slots
  readonly role: Role
  readonly desired: 'running' | 'paused'
  readonly decision: Decision | null
  readonly position: string | null
  readonly behind: string | null
  readonly furthest: string | null
  readonly changedAtMs: number | null
  readonly owner: string | null
  readonly asked: PendingRequest | null
  readonly isRetryAsked: boolean
  /** Whether a run of a daemon has begun to work on it and has not said that it ended. */
  readonly isBegun: boolean | null
  readonly skipped: Readonly<Record<string, string>>
}

export interface Slots {
  readonly from: number
  readonly to: number
}

export interface LetterCount {
  readonly projection: string
  readonly version: number
  readonly open: number
  readonly oldestAtMs: number
}

export type LetterState = 'open' | 'resolved' | 'discarded' | 'retried' | 'replayed'

export interface LettersAnswer {
  /** In the order in which they were buried. Without stacks. */
  readonly letters: readonly Letter[]
  /** For `after` of the next page; `null`: there is none. */
  readonly after: string | null
  /** The open ones, of each version that has any, whatever the filter. */
  readonly counts: readonly LetterCount[]
}

export interface Letter {
  readonly id: string
  readonly projection: string
  readonly version: number
  readonly source: string
  readonly firstPosition: string
  readonly lastPosition: string
  readonly events: number
  readonly eventTypes: readonly string[]
  /** `parked`: it was never tried, since an earlier one of its key is open. */
  readonly stage: 'map' | 'handle' | 'parked'
  readonly tries: number
  readonly key: string | null
  readonly node: string
  readonly buriedAtMs: number
  readonly state: LetterState
  readonly error: { readonly name: string; readonly message: string; readonly code: string | null }
  readonly skippedBy: { readonly who: string; readonly why: string } | null
  readonly retryAsked: { readonly who: string; readonly why: string; readonly atMs: number } | null
  readonly closed: {
    readonly as: Exclude<LetterState, 'open'>
    readonly who: string
    readonly why: string
    readonly atMs: number
  } | null
}

/** Letters of one version that have failed with the same error. */
export interface LetterGroup {
  readonly projection: string
  readonly version: number
  /** `Error: the beginning of what it says`: as `LetterFilter.error` wants it. */
  readonly error: string
  readonly count: number
  readonly oldestAtMs: number
  readonly newestAtMs: number
  readonly eventTypes: readonly string[]
}

export interface LetterGroupsAnswer {
  /** The largest first. */
  readonly groups: readonly LetterGroup[]
  /** How many letters were looked at; where there are more than that, `isWhole` is false and counts are of these alone. */
  readonly looked: number
  readonly isWhole: boolean
}

export interface LetterAnswer {
  readonly letter: Letter
  readonly error: LetterError
  /** Its events as they are now, through `redact`; `null`: not asked for, not allowed, or not to be had: see `unreadable`. */
  readonly events: readonly unknown[] | null
  readonly unreadable: string | null
}

export interface LetterError {
  readonly name: string
  readonly message: string
  readonly code: string | null
  readonly stack: string | null
  readonly cause: LetterError | null
  readonly errors: readonly LetterError[]
}

export interface SkipsAnswer {
  /** What marks have passed without proof; the newest first. */
  readonly skips: readonly {
    readonly source: string
    readonly from: string
    readonly to: string
    readonly count: string
    readonly recordedAtMs: number
    /** `null`: nobody could look. */
    readonly heldBy:
      | readonly { readonly pid: number | null; readonly applicationName: string | null }[]
      | null
    readonly passedBy: readonly { readonly unit: string; readonly reason: string }[]
    readonly late: readonly LateEventAt[]
    /** Events that are there now; `null`: not looked, since no `source` was given. */
    readonly thereNow: readonly LateEventAt[] | null
  }[]
  /** Whether there may be more: ask with `to` below the last one, and its `source`. */
  readonly more: boolean
}

export interface LateEventAt {
  readonly position: string
  readonly type: string | null
}

export type LateState = 'open' | 'in_order' | 'on_late_event' | 'reprocessed' | 'discarded' | 'not_wanted'

export interface LateAnswer {
  /** The highest position first. */
  readonly late: readonly {
    readonly source: string
    readonly position: string
    readonly type: string | null
    readonly passed: 'without_proof' | 'proven_empty'
    readonly passedAtMs: number | null
    readonly foundAtMs: number
    readonly units: readonly {
      readonly unit: string
      readonly projection: string
      readonly version: number
      readonly state: LateState
      readonly decision: { readonly who: string; readonly why: string } | null
      readonly failures: number
      readonly error: string | null
      readonly closedAtMs: number | null
    }[]
  }[]
  readonly more: boolean
}

export interface NodesAnswer {
  readonly sources: readonly {
    readonly source: string
    /** None where daemons share nothing by leases. */
    readonly nodes: readonly Node[]
    /** Units that no node has which is alive. */
    readonly unowned: readonly string[]
  }[]
  /** Units that have gone from node to node while anybody looked at the page: the newest first. */
  readonly moves: readonly NodeMove[]
}

export interface Node {
  /** One run; no two have the same. */
  readonly id: string
  readonly name: string
  readonly source: string
  readonly capacity: number
  readonly isAlive: boolean
  readonly isLeaving: boolean
  readonly desired: 'open' | 'cordoned' | 'draining'
  readonly decision: Decision | null
  readonly presence: 'here' | 'gone' | 'unknown'
  readonly units: readonly string[]
}

export interface NodeMove {
  /** When a look has first seen it, by the clock of the server of the console. */
  readonly atMs: number
  readonly unit: string
  /** Names of nodes; `null`: none. */
  readonly from: string | null
  readonly to: string | null
}

export interface AuditAnswer {
  /** The newest first. */
  readonly entries: readonly AuditEntry[]
  /** For `before` of the next page; `null`: there is none. */
  readonly before: string | null
}

export interface AuditEntry {
  readonly id: string
  readonly unit: string
  readonly projection: string
  readonly version: number
  readonly source: string
  readonly operation: string
  readonly who: string
  readonly why: string
  readonly atMs: number
  readonly before: AuditedState
  /** `null`: it was forgotten. */
  readonly after: AuditedState | null
  /** Why what was asked was not done; `null`: it was. */
  readonly refused: string | null
}

export interface AuditedState {
  readonly role: Role
  readonly desired: 'running' | 'paused'
  readonly position: string | null
  readonly lateEvents: {
    readonly from: string
    readonly to: string
    readonly open: number
    readonly asked: number
  } | null
}

export interface NodeAuditAnswer {
  readonly entries: readonly {
    readonly id: string
    readonly source: string
    readonly node: string
    readonly desired: 'open' | 'cordoned' | 'draining'
    readonly who: string
    readonly why: string
    readonly atMs: number
  }[]
  readonly before: string | null
}

export interface DoctorAnswer {
  readonly findings: readonly {
    readonly code: string
    readonly severity: 'problem' | 'warning' | 'note' | 'ok' | 'unknown'
    readonly about: string
    readonly found: string
    readonly expected: string | null
    readonly toDo: string | null
  }[]
  readonly stores: readonly {
    readonly store: string
    readonly version: string | null
    readonly schema: string
  }[]
  readonly openTransactions: readonly {
    readonly pid: number | null
    readonly who: string
    readonly openForMs: number
    readonly isIdle: boolean
    readonly holdsSequence: boolean
  }[]
}

/** Why: kept in the audit. Of a dry run it may be left out. */
interface Reason {
  readonly why: string
}

/** `version`: where there is only one it may be left out. */
interface OnProjection extends Reason {
  readonly projection: string
  readonly version?: number
}

/** Which letters are meant: some by their ids, or all that match a filter which says something. */
export type LetterChoice =
  | { readonly ids: readonly string[] }
  | { readonly filter: LetterFilter; readonly count: number }

/** Open letters that match all that is given. `count` beside it is how many were shown: it has to match still. */
export interface LetterFilter {
  readonly projection: string
  readonly version?: number
  readonly type?: string
  /** As `LetterGroup.error`. */
  readonly error?: string
}

interface OnLate extends Reason {
  readonly source: string
  readonly from: string
  readonly to: string
  /** Left out: every projection that has missed them. */
  readonly projections?: readonly string[]
}

interface OnNode extends Reason {
  /** The name, or the id of one run. */
  readonly node: string
}

/** The body of each action. */
export interface ActionBodies {
  readonly pause: OnProjection
  readonly resume: OnProjection
  /** `position`: the last one that counts as processed; `null`: before the first event. */
  readonly moveTo: OnProjection & { readonly position: string | null }
  /** `position`: of the event that was seen to fail. */
  readonly skipNext: OnProjection & { readonly position: string }
  readonly switchTo: OnProjection & { readonly version: number }
  readonly retire: OnProjection
  readonly rebuild: OnProjection
  readonly reshard: OnProjection & { readonly shards: number }
  readonly split: OnProjection & { readonly slots: Slots }
  readonly merge: OnProjection & { readonly slots: Slots }
  readonly cancel: OnProjection
  readonly forget: OnProjection
  readonly drainNode: OnNode
  readonly cordonNode: OnNode
  readonly openNode: OnNode
  readonly retryLetters: Reason & LetterChoice
  readonly resolveLetters: Reason & LetterChoice
  readonly discardLetters: Reason & LetterChoice
  readonly reprocessLate: OnLate
  readonly discardLate: OnLate
}

export type ActionName = keyof ActionBodies

/** 200: it has ended. 202: it goes on, as a job of `LiveMessage.jobs`. */
export interface ActionAnswer {
  readonly job: Job
}

/** What would happen. */
export interface DryAnswer {
  /** In words, a line each; never none. */
  readonly would: readonly string[]
  /** Nothing would be changed: it is so already. */
  readonly isNothing: boolean
  /** Of dead letters and late events: how many are meant. */
  readonly count: number | null
  /** Of letters by a filter: the filter in words. */
  readonly filter: string | null
}
