import { expect } from 'vitest'
import { type Row, summary, verdictOn } from '../../chaos/oracle.ts'
import { until } from '../../chaos/until.ts'
import type { ChaosRig } from './rig.ts'
import type { Writer } from './writer.ts'

/** What each projection of test/programs/esdb-projections.ts has to get, of the events that the writer wrote. */
const PROJECTIONS: Readonly<Record<string, (stream: string) => boolean>> = {
  all: () => true,
  stream: (stream) => stream === 'orders',
  filtered: (stream) => stream.startsWith('customer-'),
}

interface Logged extends Row {
  readonly stream: string
}

/** Waits until each projection has got the last event, and then judges everything. */
export async function expectExactlyOnce(rig: ChaosRig, writer: Writer): Promise<void> {
  for (const [projection, committed] of await arrivedOf(rig, writer)) {
    const verdict = summary(verdictOn(projection, committed, await handledBy(rig, projection)))
    console.info(JSON.stringify(verdict))
    expect(verdict).toEqual({ ...verdict, lost: 0, duplicated: 0, outOfOrder: 0, phantom: 0 })
  }
}

/** As `expectExactlyOnce`, but that batches may be repeated which were in flight when something failed. */
export async function expectAtLeastOnce(rig: ChaosRig, writer: Writer): Promise<void> {
  for (const [projection, committed] of await arrivedOf(rig, writer)) {
    const handled = await handledBy(rig, projection)
    const { lost, phantom } = summary(verdictOn(projection, committed, handled))
    const batches = batchesOf(committed, handled)
    const repeated = batches.filter(({ first }, n) => first === batches[n - 1]?.first)
    const misplaced = misplacedAmong(batches)
    console.info(
      JSON.stringify({ projection, committed: committed.length, batchesRepeated: repeated.length }),
    )
    expect({ lost, phantom, misplaced }).toEqual({ lost: 0, phantom: 0, misplaced: [] })
  }
}

/** Everything that has to arrive, in order, once the last of it has. */
async function arrivedOf(rig: ChaosRig, writer: Writer): Promise<[string, readonly Row[]][]> {
  // A refusal that nobody has met yet would meet this read.
  const log = await until('the log is read', () => readLog(rig), 60_000)
  const ids = new Set(log.map(({ id }) => id))
  expect([...writer.acknowledged].filter((id) => !ids.has(id))).toEqual([])
  const expected: [string, readonly Row[]][] = []
  for (const [projection, isMeant] of Object.entries(PROJECTIONS)) {
    const committed = log.filter(({ stream }) => isMeant(stream))
    expect(committed.length).toBeGreaterThan(0)
    const last = committed.at(-1)?.id ?? ''
    await until(`"${projection}" has got ${last}`, () => hasGot(rig, projection, last), 60_000).catch(
      async (error: unknown) => {
        const verdict = verdictOn(projection, committed, await handledBy(rig, projection))
        throw new Error(JSON.stringify(summary(verdict)), { cause: error })
      },
    )
    expected.push([projection, committed])
  }
  return expected
}

export async function hasGot({ pool }: ChaosRig, projection: string, id: string): Promise<boolean> {
  const { rowCount } = await pool.query('select from handled where projection = $1 and id = $2', [
    projection,
    id,
  ])
  return rowCount !== 0
}

/** What stands in the server's log, read by a client that has seen no fault; but for the server's and Tidemark's own. */
async function readLog({ connect }: ChaosRig): Promise<readonly Logged[]> {
  const log: Logged[] = []
  for await (const { event } of connect().readAll()) {
    if (event === undefined || event.type !== 'Happened') continue
    const { streamId: stream, id, revision } = event
    log.push({ stream, id, position: `${revision}@${stream}` })
  }
  return log
}

interface Handled extends Row {
  readonly batch: string
}

async function handledBy({ pool }: ChaosRig, projection: string): Promise<readonly Handled[]> {
  const { rows } = await pool.query<Handled>(
    'select batch, position, id from handled where projection = $1 order by arrival',
    [projection],
  )
  return rows
}

export interface Batch {
  /** Where its events stand among those that are committed. */
  readonly places: readonly number[]
  readonly first: number
  readonly next: number
}

/**
 * Batches that have gaps in them, or begin where no checkpoint can stand. Those that follow each other with the same
 * beginning are one batch and its repetitions. Whether a repeated one is as long as the first depends on what had been
 * appended meanwhile; and the store may carry out the checkpoint of any of them after its answer was given up.
 */
export function misplacedAmong(batches: readonly Batch[]): readonly Batch[] {
  let begun = 0
  let ends = new Set<number>()
  return batches.filter(({ places, first, next }) => {
    const isUnbroken = places.every((place, k) => place === first + k)
    const isExpected = first === begun || ends.has(first)
    if (first !== begun) ends = new Set()
    begun = first
    ends.add(next)
    return !isUnbroken || !isExpected
  })
}

function batchesOf(committed: readonly Row[], handled: readonly Handled[]): readonly Batch[] {
  const placeOf = new Map(committed.map(({ id }, place) => [id, place]))
  const batches = new Map<string, number[]>()
  for (const { batch, id } of handled) {
    const places = batches.get(batch) ?? []
    batches.set(batch, places)
    places.push(placeOf.get(id) ?? -1)
  }
  return [...batches.values()].map((places) => ({
    places,
    first: places[0] ?? -1,
    next: (places.at(-1) ?? -1) + 1,
  }))
}
