import type { QueryResult } from 'pg'
import { expect } from 'vitest'
import type { ChaosStore } from './store.ts'
import { until } from './until.ts'

/** What one projection got, held against what is committed. */
export interface Verdict {
  readonly projection: string
  readonly committed: number
  readonly lost: readonly string[]
  readonly duplicated: readonly string[]
  readonly outOfOrder: readonly string[]
  /** Projected, but not (or no longer) in the store. */
  readonly phantom: readonly string[]
}

export interface Judged {
  readonly name: string
  readonly eventTypes?: readonly string[]
}

type Queryable = { query(text: string, values?: unknown[]): Promise<QueryResult> }

export type Row = { readonly position: string; readonly id: string }

export async function judge(
  projection: Judged,
  events: ChaosStore,
  handled: ChaosStore = events,
): Promise<Verdict> {
  const committed = await readCommitted(events, projection.eventTypes)
  const { rows: arrived } = await handled.query(
    'select position::text, id from handled where projection = $1 order by arrival',
    [projection.name],
  )
  return verdictOn(projection.name, committed, arrived as Row[])
}

/** @param committed - in the order in which they have to arrive */
export function verdictOn(projection: string, committed: readonly Row[], arrived: readonly Row[]): Verdict {
  const key = ({ position, id }: Row): string => `${position} ${id}`
  const places = new Map(committed.map((row, place) => [key(row), place]))
  const seen = new Set<number>()
  const duplicated: string[] = []
  const outOfOrder: string[] = []
  const phantom: string[] = []
  let last = -1
  for (const row of arrived) {
    const place = places.get(key(row))
    if (place === undefined) phantom.push(row.position)
    else if (seen.has(place)) duplicated.push(row.position)
    else if (place < last) outOfOrder.push(row.position)
    if (place === undefined) continue
    seen.add(place)
    last = Math.max(last, place)
  }
  return {
    projection,
    committed: committed.length,
    lost: committed.filter((_, place) => !seen.has(place)).map(({ position }) => position),
    duplicated,
    outOfOrder,
    phantom,
  }
}

async function readCommitted(events: ChaosStore, types?: readonly string[]): Promise<readonly Row[]> {
  const { rows } = await events.query(
    'select position::text, id from events where $1::text[] is null or type = any ($1) order by events.position',
    [types ?? null],
  )
  return rows as Row[]
}

/** Waits until each projection has got the last event, and then judges everything. */
export async function expectExact(
  projections: readonly Judged[],
  events: ChaosStore,
  {
    handled = events,
    timeoutMs = 60_000,
  }: { readonly handled?: ChaosStore; readonly timeoutMs?: number } = {},
): Promise<void> {
  for (const projection of projections) {
    const last = (await readCommitted(events, projection.eventTypes)).at(-1)
    await until(
      `"${projection.name}" has got ${last?.position}`,
      async () => last === undefined || (await hasGot(handled, projection.name, last)),
      timeoutMs,
    ).catch(async (error: unknown) => {
      throw new Error(JSON.stringify(summary(await judge(projection, events, handled))), { cause: error })
    })
  }
  for (const projection of projections) {
    const verdict = await judge(projection, events, handled)
    console.info(JSON.stringify(summary(verdict)))
    expect(verdict.committed).toBeGreaterThan(0)
    expect(verdict).toEqual({ ...verdict, lost: [], duplicated: [], outOfOrder: [], phantom: [] })
  }
}

async function hasGot(handled: ChaosStore, projection: string, { position, id }: Row): Promise<boolean> {
  const { rowCount } = await handled.query(
    'select from handled where projection = $1 and position = $2 and id = $3',
    [projection, position, id],
  )
  return rowCount !== 0
}

export function summary(verdict: Verdict): Readonly<Record<string, unknown>> {
  const { projection, committed, lost, duplicated, outOfOrder, phantom } = verdict
  return {
    projection,
    committed,
    lost: lost.length,
    duplicated: duplicated.length,
    outOfOrder: outOfOrder.length,
    phantom: phantom.length,
  }
}

/** How much has arrived so far. */
export async function arrived(store: Queryable, projection: string): Promise<number> {
  const { rows } = await store.query('select count(*)::int as n from handled where projection = $1', [
    projection,
  ])
  return rows[0].n
}

/** Waits for `more` arrivals than there are now, so that a fault strikes a run that is under way. */
export async function untilArrived(store: Queryable, projection: string, more: number): Promise<void> {
  const before = await until('the table can be read', async () => ({ n: await arrived(store, projection) }))
  await until(
    `${more} more events have arrived`,
    async () => (await arrived(store, projection)) >= before.n + more,
  )
}
