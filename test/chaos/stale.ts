import { expect } from 'vitest'
import type { Random } from '../core/model/random.ts'
import { PROJECTIONS } from './daemons.ts'
import { append } from './events.ts'
import { type Judged, judge } from './oracle.ts'
import { spawnDaemon } from './processes.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startWriters } from './writers.ts'

/** How much the writers have written, and the handlers still have to do, depends on what else the machine does. */
const PATIENT_MS = 120_000

/**
 * The fallback mode loses events by design. What it may not do is lose one silently: each lies in a run that was
 * recorded, and each projection's total is the sum of the runs that its checkpoint has passed.
 */
export async function expectLossesCounted(
  projections: readonly Judged[],
  store: ChaosStore,
): Promise<number> {
  const { rows: overlaps } = await store.query(
    `select a.current as first, b.current as second from tidemark.skips a join tidemark.skips b
       on a.current < b.current and b.stored < a.current`,
  )
  expect(overlaps).toEqual([])
  let lost = 0
  for (const projection of projections) {
    await until(
      `"${projection.name}" has got to the end`,
      async () => {
        const { rows } = await store.query(
          `select c.position::bigint >= (select max(e.position) from events e) as is
         from tidemark.checkpoints c where projection = $1`,
          [projection.name],
        )
        return rows[0]?.is
      },
      PATIENT_MS,
    )
    const verdict = await judge(projection, store)
    expect(verdict).toEqual({ ...verdict, duplicated: [], outOfOrder: [], phantom: [] })
    const { rows } = await store.query(
      `select
         (select array_agg(p) from unnest($2::bigint[]) p where not exists (
            select from tidemark.skips s where s.stored < p and p < s.current)) as silently,
         (select coalesce(sum(value::bigint), 0)::int from jsonb_each_text(c.skipped)) as total,
         (select coalesce(sum(s.count), 0)::int from tidemark.skips s where s.current <= c.position::numeric) as passed
       from tidemark.checkpoints c where c.projection = $1`,
      [projection.name, verdict.lost],
    )
    const [{ silently, total, passed }] = rows
    console.info(JSON.stringify({ projection: projection.name, lost: verdict.lost.length, skipped: total }))
    expect(silently).toBe(null)
    expect(total).toBe(passed)
    expect(verdict.lost.length).toBeLessThanOrEqual(total)
    lost += verdict.lost.length
  }
  return lost
}

/** A transaction that has taken a number, and commits once every projection has passed it: that event is lost. */
export async function holdUntilPassed(store: ChaosStore): Promise<{ commit(): Promise<void> }> {
  const client = await store.connect()
  await client.query('begin')
  const position = await append(client, 1)
  return {
    commit: async () => {
      await until('every projection has passed it', async () => {
        const { rows } = await store.query(
          'select bool_and(coalesce(position::bigint > $1, false)) as is from tidemark.checkpoints',
          [position],
        )
        return rows[0].is
      })
      await client.query('commit')
      await client.end()
    },
  }
}

/** A daemon process in stale-threshold mode under load, killed in mid-batch that many times. */
export async function killInStaleThresholdMode(random: Random, kills: number): Promise<void> {
  const store = await chaosStore()
  const holder = await holdUntilPassed(store)
  const writers = startWriters(store, { random, writers: 6 })
  const start = () =>
    spawnDaemon({
      url: store.url,
      projections: PROJECTIONS.map(({ name }) => name).join(),
      'batch-size': '30',
      'handle-ms': '3',
      'stale-threshold-ms': '30',
    })
  for (let kill = 0; kill < kills; kill++) {
    const daemon = await start()
    for (let batches = 5 + random.below(12); batches >= 0; batches--) await daemon.says('handling')
    await daemon.kill()
  }
  const last = await start()
  await holder.commit()
  await writers.stop()
  expect(await expectLossesCounted(PROJECTIONS, store)).toBeGreaterThan(0)
  await last.terminate()
}
