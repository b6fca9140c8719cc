import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import type { PostgresEventsOptions, ResolvedPostgresEventsOptions } from '../options.ts'
import { requireText } from '../pool-options.ts'
import { resolvePostgresEventsOptions } from '../resolve-options.ts'

export interface AuditCommitsOptions
  extends Pick<
    PostgresEventsOptions,
    'pool' | 'table' | 'position' | 'eventType' | 'placeholderTypes' | 'queryTimeoutMs'
  > {
  /**
   * The column with the time at which an event was appended, by the database's clock; for a `timestamp` without time zone with
   * its zone, as in `{ column: 'time', timeZone: 'UTC' }`. A row that was committed more than an hour after its time, or has
   * none, is left out: it was rewritten or restored.
   * - Change it when: the table has such a column. Without it nothing but long runs of one transaction tells of a restore. Leave
   * it out if the times are not the database's: rows would be left out for nothing.
   * @default none
   */
  readonly appendedAt?: NonNullable<PostgresEventsOptions['appendedAt']>
  /**
   * The column with the id of the transaction that inserted the row, as `transaction_id` of Emmett. A row whose `xmin` is
   * another one is left out: it was rewritten, restored, or inserted under a savepoint.
   * - Change it when: the table has such a column. It is the best evidence that there is.
   * @default none
   */
  readonly insertedBy?: string
  /**
   * A condition in SQL that is true for rows that were updated after they were inserted, as `'is_archived'`. They are left out.
   * It is part of the statement as it stands: never make it of input.
   * - Change it when: your rows have a flag that an UPDATE sets: archived, masked, tagged.
   * @default none
   */
  readonly rewritten?: string
  /**
   * How many of the newest rows are looked at.
   * - Raising it: a longer past is looked at; it takes longer.
   * - Lowering it: it ends sooner.
   * - Change it when: the table is so large that all of it takes too long. 10 million rows take about a minute.
   * @unit rows
   * @default all
   */
  readonly newest?: number
  /**
   * The fixed waits of which the answer says how many events each would have lost, in milliseconds. No wait at all is always
   * among them.
   * - Change it when: your reader waits for another time than these.
   * @default [100, 250, 500, 1000, 3000, 5000, 10000, 30000, 60000]
   */
  readonly waitsMs?: readonly number[]
  /**
   * How long new events are watched, where the server keeps no commit timestamps. It takes that long then.
   * - Raising it: slower and rarer commits are met.
   * - Lowering it: the answer comes sooner, and knows less.
   * - Change it when: one minute is not typical of your traffic.
   * @default 60000
   */
  readonly liveMs?: number
  /**
   * Is told how far it is, after each page and after each look. What it throws ends the audit.
   * - Change it when: a person waits for the end.
   * @default nobody is told
   */
  readonly onProgress?: (progress: AuditProgress) => void
  /**
   * Stops it. The call then rejects with the signal's reason. Its connection is closed; the server ends the page at hand first.
   * - Change it when: somebody may not want to wait for the end.
   * @default none
   */
  readonly signal?: AbortSignal
}

/** `past`: rows are read, the highest position first. `live`: new events are watched. */
export type AuditProgress =
  | {
      readonly part: 'past'
      readonly rows: number
      /** Of the first row that was read, and of the last one so far. */
      readonly highest: bigint
      readonly lowest: bigint
    }
  | { readonly part: 'live'; readonly watchedForMs: number; readonly ofMs: number }

export interface ResolvedAuditOptions {
  readonly events: ResolvedPostgresEventsOptions<unknown>
  readonly insertedBy: string | undefined
  readonly rewritten: string | undefined
  readonly newest: number
  /** Ascending, 0 first. */
  readonly waitsMs: readonly number[]
  readonly liveMs: number
  readonly onProgress: (progress: AuditProgress) => void
  readonly signal: AbortSignal
}

/** waitsMs: 3000 is Marten's and SQLStreamStore's, 5000 Eventuous's, 60000 Axon's; liveMs: as long as people wait for an answer. */
export const AUDIT_COMMITS_DEFAULTS: { readonly waitsMs: readonly number[]; readonly liveMs: number } =
  Object.freeze({
    waitsMs: Object.freeze([100, 250, 500, 1_000, 3_000, 5_000, 10_000, 30_000, 60_000]),
    liveMs: 60_000,
  })

const AUDIT_OPTIONS: Readonly<Record<keyof AuditCommitsOptions, true>> = {
  pool: true,
  table: true,
  position: true,
  eventType: true,
  placeholderTypes: true,
  queryTimeoutMs: true,
  appendedAt: true,
  insertedBy: true,
  rewritten: true,
  newest: true,
  waitsMs: true,
  liveMs: true,
  onProgress: true,
  signal: true,
}

/** Throws `InvalidOptionError`. */
export function resolveAuditOptions(options: AuditCommitsOptions): ResolvedAuditOptions {
  requireKnownOptions(options, AUDIT_OPTIONS)
  const { insertedBy, rewritten, newest, waitsMs, liveMs, onProgress, signal, ...events } = options
  if (insertedBy !== undefined) requireText('insertedBy', insertedBy)
  if (rewritten !== undefined) requireText('rewritten', rewritten)
  if (newest !== undefined && !(Number.isSafeInteger(newest) && newest > 0)) {
    throw new InvalidOptionError('newest', 'an integer of at least 1', newest)
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new InvalidOptionError('onProgress', 'a function', onProgress)
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal)
  }
  return {
    events: resolvePostgresEventsOptions({
      ...events,
      columns: insertedBy === undefined ? [] : [insertedBy],
      allowMissingIndex: true,
    }),
    insertedBy,
    rewritten,
    newest: newest ?? Number.POSITIVE_INFINITY,
    waitsMs: resolveWaits(waitsMs ?? AUDIT_COMMITS_DEFAULTS.waitsMs),
    liveMs: requireMs('liveMs', liveMs ?? AUDIT_COMMITS_DEFAULTS.liveMs),
    onProgress: onProgress ?? (() => {}),
    signal: signal ?? new AbortController().signal,
  }
}

function resolveWaits(waitsMs: readonly number[]): readonly number[] {
  if (!Array.isArray(waitsMs)) throw new InvalidOptionError('waitsMs', 'an array of milliseconds', waitsMs)
  const waits = waitsMs.map((wait) => requireMs('waitsMs', wait))
  return [...new Set([0, ...waits])].toSorted((a, b) => a - b)
}

function requireMs(option: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
    throw new InvalidOptionError(option, 'a number of milliseconds above 0', value)
  }
  return value
}
