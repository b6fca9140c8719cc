import { type CheckpointStore, createDaemon } from '@tidemark/core'
import { denseOrder, type FoundTenure, type Tenure, type Tenures } from '@tidemark/core/adapter'
import { type InMemoryEvents, inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { begun, passed, taken } from '../../packages/core/src/failures/suspicion.ts'

const NONE: FoundTenure = { session: undefined, suspicion: undefined, ageMs: 60_000 }

interface World {
  /** Events at positions 1 to this. */
  readonly events: number
  readonly batchSize: number
  readonly attempts: number
  /** Ends the process whenever it is handled. */
  readonly deadly: number
}

/** Starts a process again and again until everything is passed; what became of each call of the handler. */
function run({ events, batchSize, attempts, deadly }: World) {
  let kept: FoundTenure = NONE
  let at = 0
  let deaths = 0
  const calls: { readonly first: number; readonly events: number }[] = []
  const givenUp: { readonly at: number; readonly tries: number }[] = []
  for (let session = 1; session <= attempts + 20; session++) {
    let limit = batchSize
    let isDead = false
    while (at < events && !isDead) {
      const count = Math.min(limit, events - at)
      const from = at === 0 ? undefined : String(at)
      const answer = begun(
        kept,
        { session: String(session), from, through: String(events), batchSize },
        { asked: limit, isPosition: count === 1, attempts, isDared: false, hasTurn: true },
      )
      kept = { ...answer.tenure, ageMs: 60_000 }
      if (answer.kind === 'smaller') {
        limit = answer.limit
        continue
      }
      const isTried = answer.kind === 'tried'
      if (isTried) givenUp.push({ at: at + 1, tries: answer.tries })
      else calls.push({ first: at + 1, events: count })
      isDead = !isTried && deadly > at && deadly <= at + count
      if (isDead) {
        deaths++
        continue
      }
      at += isTried ? 1 : count
      const suspicion = passed(denseOrder, kept.suspicion, { to: BigInt(at), events: isTried ? 1 : count })
      kept = { ...kept, suspicion }
      limit = suspicion?.limit ?? batchSize
    }
    if (at >= events) return { calls, givenUp, deaths, kept }
  }
  throw new Error('it never ends')
}

test('an event that ends the process is found in few deaths, tried as often as it may be, and is all that is given up', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3_000 }),
      fc.integer({ min: 1, max: 2_000 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(),
      (events, batchSize, attempts, n) => {
        const deadly = 1 + (n % events)
        const { calls, givenUp, deaths, kept } = run({ events, batchSize, attempts, deadly })
        expect(givenUp).toEqual([{ at: deadly, tries: attempts }])
        const alone = calls.filter(({ first, events: count }) => first === deadly && count === 1)
        // The batch that it died of first is written down nowhere: it may have held that event alone.
        expect(alone.length - attempts).toBeGreaterThanOrEqual(0)
        expect(alone.length - attempts).toBeLessThanOrEqual(1)
        expect(deaths).toBeLessThanOrEqual(attempts + 3)
        expect(kept.suspicion).toBeUndefined()
      },
    ),
    { numRuns: 300 },
  )
})

const KILLED: FoundTenure = { ...NONE, session: 'before' }
const THOUSAND = { session: 'now', from: '10', through: '5000', batchSize: 1_000 }
const WHOLE = { asked: 1_000, isPosition: false, attempts: 1, isDared: false, hasTurn: true }

test('a process that was killed for another reason costs one whole batch in its turn, and nothing is suspected behind it', () => {
  const { kind, tenure } = begun(KILLED, THOUSAND, WHOLE)
  expect(kind).toBe('go')
  expect(tenure.suspicion).toMatchObject({ limit: 1_000, left: 1_000, tries: 0, trying: 'batch' })
  expect(passed(denseOrder, tenure.suspicion, { to: 1_010n, events: 1_000 })).toBeUndefined()
  // Pages may be smaller: as many events as may have been in that batch are suspected.
  const some = passed(denseOrder, tenure.suspicion, { to: 610n, events: 600 })
  expect(some).toMatchObject({ from: '610', limit: 1_000, left: 400, trying: 'nothing' })
})

test('where it ends again in that batch, a few events at a time are suspected, for no longer than a batch', () => {
  const { tenure } = begun(KILLED, THOUSAND, WHOLE)
  const again = { ...THOUSAND, session: 'later' }
  const smaller = begun({ ...tenure, ageMs: 60_000 }, again, WHOLE)
  expect(smaller).toMatchObject({ kind: 'smaller', limit: 14 })
  let { suspicion } = smaller.tenure
  expect(suspicion).toMatchObject({ limit: 14, left: 1_000, tries: 0 })
  for (let to = 24n; suspicion !== undefined; to += 14n) {
    suspicion = passed(denseOrder, suspicion, { to, events: 14 })
    expect(to).toBeLessThan(1_100n)
  }
})

const DEAD_ALONE: FoundTenure = {
  session: 'before',
  suspicion: { from: '10', through: '50', left: 3, limit: 1, tries: 1, trying: 'position' },
  ageMs: 60_000,
}
const HERE = { session: 'now', from: '10', through: '50', batchSize: 100 }
const ALONE = { asked: 1, isPosition: true, attempts: 3, isDared: false, hasTurn: true }

test.each<[string, FoundTenure, Partial<typeof HERE>, number | undefined]>([
  ['it was being tried by itself', DEAD_ALONE, {}, 2],
  ['this process has tried it itself, and lives', { ...DEAD_ALONE, session: 'now' }, {}, 1],
  ['whoever tried it has ended cleanly', { ...DEAD_ALONE, session: undefined }, {}, 1],
  ['the checkpoint was moved meanwhile', DEAD_ALONE, { from: '12' }, 0],
])('what is counted where %s', (_, found, at, tries) => {
  expect(begun(found, { ...HERE, ...at }, ALONE).tenure.suspicion?.tries).toBe(tries)
})

test('whoever has used up the tries is asked, unless somebody dares', () => {
  expect(begun(DEAD_ALONE, HERE, { ...ALONE, attempts: 2 })).toMatchObject({ kind: 'tried', tries: 2 })
  expect(begun(DEAD_ALONE, HERE, { ...ALONE, attempts: 2, isDared: true }).kind).toBe('go')
})

test('suspected events wait for their turn, and nothing says that they are tried before', () => {
  const waiting = begun(DEAD_ALONE, HERE, { ...ALONE, hasTurn: false })
  expect(waiting).toMatchObject({ kind: 'wait', tenure: { suspicion: { trying: 'nothing' } } })
})

/** Checkpoints that write down what is kept of who works at a unit; a killed process says no end. */
function noted({ isKilled }: { readonly isKilled: boolean }) {
  const checkpoints = inMemoryCheckpoints()
  const { tenures } = checkpoints
  if (tenures === undefined) throw new Error('the store in memory keeps tenures')
  const kept: (Tenure | 'ended')[] = []
  const noting: Tenures = {
    begin: (request, decide) =>
      tenures.begin(request, (found) => {
        const tenure = decide(found)
        kept.push(tenure)
        return tenure
      }),
    end: async (...args) => {
      if (isKilled) return
      kept.push('ended')
      await tenures.end(...args)
    },
  }
  return { checkpoints: Object.assign(checkpoints, { tenures: noting }), kept }
}

/** Runs until everything is handled; how many events each batch had. */
async function runDaemon(
  source: InMemoryEvents<number>,
  checkpoints: CheckpointStore<undefined>,
): Promise<readonly number[]> {
  const batches: number[] = []
  const daemon = createDaemon({
    source,
    checkpoints,
    projections: [{ name: 'all', batchSize: 5, handle: (events) => void batches.push(events.length) }],
  })
  onTestFinished(() => daemon.stop())
  await daemon.start()
  await daemon.waitUntilProjected()
  await daemon.stop()
  return batches
}

test('a healthy daemon says once that it works at a unit, and once that it has ended cleanly', async () => {
  const events = inMemoryEvents<number>()
  const { checkpoints, kept } = noted({ isKilled: false })
  for (let n = 0; n < 20; n++) events.append('a', n)
  await runDaemon(events, checkpoints)
  expect(kept).toEqual([{ session: expect.any(String), suspicion: undefined }, 'ended'])
})

test('after one that was killed the first batch is written down, whole, and none behind it', async () => {
  const events = inMemoryEvents<number>()
  const { checkpoints, kept } = noted({ isKilled: true })
  for (let n = 0; n < 20; n++) events.append('a', n)
  await runDaemon(events, checkpoints)
  for (let n = 0; n < 20; n++) events.append('a', n)
  expect(await runDaemon(events, checkpoints)).toEqual([5, 5, 5, 5])
  const trying = kept.map((tenure) => tenure !== 'ended' && tenure.suspicion?.trying)
  // Written down twice: before its turn, and when that has come.
  expect(trying).toEqual([undefined, 'nothing', 'batch'])
})

test('where no event waits, none is suspected, whoever worked there before', () => {
  const found = { session: 'another', suspicion: undefined, ageMs: 60_000 }
  const beginning = { session: 'own', from: '5', through: '5', batchSize: 100 }
  expect(taken(found, beginning)).toEqual({ session: 'own', suspicion: undefined })
  expect(taken(found, { ...beginning, through: '6' }).suspicion).toMatchObject({
    from: '5',
    through: '6',
    tries: 0,
  })
})
