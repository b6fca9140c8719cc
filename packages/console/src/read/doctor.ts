import { diagnose } from '@tidemark/pg-adapter'
import type { ResolvedConsoleOptions } from '../options.ts'
import type { DoctorAnswer } from '../protocol.ts'
import { eventsOf } from '../status/events-of.ts'

/** As long as a person waits without wondering, on a server that is far away too. */
const TIMEOUT_MS = 10_000

/** Of one table: that of the option `events`, or of the only source that checkpoints are of. */
export async function doctorAnswer(
  { pool, events, operations }: ResolvedConsoleOptions,
  source: string | undefined,
): Promise<DoctorAnswer> {
  // Without checkpoints, and without the right to read them, a database is examined all the same.
  const units = await operations.list().catch(() => [])
  const sources = [...new Set(units.map((unit) => unit.source))]
  const name = source ?? (sources.length === 1 ? sources[0] : undefined)
  const table = name === undefined ? [events ?? []].flat()[0] : eventsOf(events, name, sources)
  const { findings, stores, openTransactions } = await diagnose({
    pool,
    timeoutMs: TIMEOUT_MS,
    ...(table === undefined ? {} : { preset: { events: table } }),
  })
  return {
    findings: findings.map(({ code, severity, about, found, expected, toDo }) => ({
      code,
      severity,
      about,
      found,
      expected: expected ?? null,
      toDo: toDo ?? null,
    })),
    stores: stores.map(({ store, version, schema }) => ({ store, version: version ?? null, schema })),
    openTransactions: openTransactions.map(({ pid, who, openForMs, isIdle, holdsSequence }) => ({
      pid: pid ?? null,
      who,
      openForMs: Math.round(openForMs),
      isIdle,
      holdsSequence,
    })),
  }
}
