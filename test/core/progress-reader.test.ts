import {
  type CheckpointStore,
  createProgressReader,
  type ProgressReader,
  type ProgressReaderOptions,
  type StoredUnit,
} from '@tidemark/core'
import { denseOrder, type PositionOrder, wholeUnit } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { never } from '../support/never.ts'
import { altered, alteredCheckpoints, recording, rig, stopAll, TransientError } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

type Reads = Pick<CheckpointStore<never>, 'name' | 'read' | 'isTransient'>

/** Checkpoints that a test sets, and a reader of them. */
function stored<P = bigint>(order: PositionOrder<P> = denseOrder as never) {
  const clock = new FakeClock()
  const positions = new Map<string, { position: string | undefined; source: string }>()
  const reads: { readonly projection: string; readonly atMs: number; readonly signal: AbortSignal }[] = []
  let fault: unknown
  let hangs = false
  const checkpoints: Reads = {
    name: 'fakes',
    read: async (unit, signal): Promise<StoredUnit | undefined> => {
      reads.push({ projection: unit.projection, atMs: clock.nowMs(), signal })
      if (hangs) {
        return await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        })
      }
      if (fault) throw fault
      const row = positions.get(unit.projection)
      return row && { unit, ...row, skipped: {} }
    },
    isTransient: (error) => error instanceof TransientError,
  }
  const reader: ProgressReader<P> = createProgressReader<P>({
    checkpoints,
    source: { name: 'events', order },
    clock,
  })
  return {
    clock,
    reads,
    reader,
    set: (projection: string, position: string | undefined, source = 'events') =>
      positions.set(projection, { position, source }),
    fail: (error: unknown) => {
      fault = error
    },
    hang: () => {
      hangs = true
    },
  }
}

/** What becomes of a promise, to be looked at. */
function outcomeOf(promise: Promise<unknown>): { value?: unknown; error?: unknown; isSettled: boolean } {
  const outcome: { value?: unknown; error?: unknown; isSettled: boolean } = { isSettled: false }
  promise.then(
    (value) => Object.assign(outcome, { value, isSettled: true }),
    (error: unknown) => Object.assign(outcome, { error, isSettled: true }),
  )
  return outcome
}

describe('waitFor', () => {
  test('resolves when the checkpoint has come to the position, and not before', async () => {
    const { clock, reader, set, reads } = stored()
    set('orders', '6')
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: 7n }))
    await clock.advance(1_000)
    expect(wait).toEqual({ isSettled: false })
    set('orders', '7')
    await clock.advance(500)
    expect(wait).toEqual({ isSettled: true, value: undefined })
    expect(clock.sleeping).toBe(0)
    expect(reads.every(({ projection }) => projection === 'orders')).toBe(true)
  })

  test('resolves at the first look where the checkpoint is there or beyond', async () => {
    const { clock, reader, set, reads } = stored()
    set('orders', '9')
    await clock.run(reader.waitFor({ projection: 'orders', position: 7n }))
    expect(reads).toHaveLength(1)
    expect(clock.sleeping).toBe(0)
  })

  test('takes a position as the text that a driver gives', async () => {
    const { clock, reader, set } = stored()
    set('orders', '10')
    await clock.run(reader.waitFor({ projection: 'orders', position: '9' }))
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: '11', timeoutMs: 100 }))
    await clock.advance(200)
    expect(wait.error).toMatchObject({ code: 'TIDEMARK_WAIT_TIMEOUT' })
  })

  test('compares positions in the order of the source, whatever they are', async () => {
    type Pair = { readonly commit: bigint; readonly prepare: bigint }
    const order: PositionOrder<Pair> = {
      compare: (a, b) => denseOrder.compare(a.commit, b.commit) || denseOrder.compare(a.prepare, b.prepare),
      format: ({ commit, prepare }) => `${commit}/${prepare}`,
      parse: (text) => {
        const [commit = '', prepare = ''] = text.split('/')
        return { commit: BigInt(commit), prepare: BigInt(prepare) }
      },
    }
    const { clock, reader, set } = stored(order)
    set('orders', '100/90')
    await clock.run(reader.waitFor({ projection: 'orders', position: { commit: 99n, prepare: 99n } }))
    await clock.run(reader.waitFor({ projection: 'orders', position: '100/90' }))
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: '100/91' }))
    await clock.advance(1_000)
    expect(wait.isSettled).toBe(false)
    set('orders', '101/1')
    await clock.advance(1_000)
    expect(wait).toMatchObject({ isSettled: true })
    expect(await reader.position('orders')).toEqual({ commit: 101n, prepare: 1n })
  })

  test('looks soon at first, then less and less often, twice a second in the end', async () => {
    const { clock, reader, set, reads } = stored()
    set('orders', '1')
    const wait = reader.waitFor({ projection: 'orders', position: 2n })
    await clock.advance(60_000)
    const pauses = reads.slice(1).map(({ atMs }, index) => atMs - (reads[index]?.atMs ?? 0))
    expect(pauses[0]).toBe(10)
    expect(pauses.toSorted((a, b) => a - b)).toEqual(pauses)
    expect(pauses.at(-1)).toBe(500)
    expect(reads.filter(({ atMs }) => atMs - (reads[0]?.atMs ?? 0) <= 50).length).toBeGreaterThanOrEqual(4)
    expect(reads.length).toBeLessThan(135)
    set('orders', '2')
    await clock.run(wait)
  })

  test('one look serves all who wait for the same projection', async () => {
    const { clock, reader, set, reads } = stored()
    set('orders', '0')
    const waits = Array.from({ length: 500 }, (_, n) =>
      outcomeOf(reader.waitFor({ projection: 'orders', position: BigInt(n + 1) })),
    )
    await clock.advance(2_000)
    const alone = reads.length
    expect(alone).toBeLessThan(20)
    set('orders', '250')
    await clock.advance(500)
    expect(waits.filter(({ isSettled }) => isSettled)).toHaveLength(250)
    set('orders', '500')
    await clock.advance(500)
    expect(waits.every(({ isSettled }) => isSettled)).toBe(true)
    expect(clock.sleeping).toBe(0)
  })

  test('whoever joins is looked for soon, however long others wait already; looks stay 10 ms apart', async () => {
    const { clock, reader, set, reads } = stored()
    set('orders', '1')
    const long = outcomeOf(reader.waitFor({ projection: 'orders', position: 100n }))
    await clock.advance(60_000)
    set('orders', '2')
    const joinedAtMs = clock.nowMs()
    await clock.run(reader.waitFor({ projection: 'orders', position: 2n }))
    expect(clock.nowMs() - joinedAtMs).toBeLessThanOrEqual(10)
    await clock.advance(60_000)
    const soon = outcomeOf(reader.waitFor({ projection: 'orders', position: 3n }))
    await clock.advance(50)
    set('orders', '3')
    await clock.advance(50)
    expect(soon.isSettled).toBe(true)
    for (let n = 0; n < 200; n++) {
      void outcomeOf(reader.waitFor({ projection: 'orders', position: 100n }))
      await clock.advance(1)
    }
    const pauses = reads.slice(1).map(({ atMs }, index) => atMs - (reads[index]?.atMs ?? 0))
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(10)
    set('orders', '100')
    await clock.advance(1_000)
    expect(long.isSettled).toBe(true)
    expect(clock.sleeping).toBe(0)
  })

  test('looks stay 10 ms apart also where each wait is over before the next one begins', async () => {
    const { clock, reader, set, reads } = stored()
    set('orders', '1')
    const beganAtMs = clock.nowMs()
    for (let n = 0; n < 50; n++) await clock.run(reader.waitFor({ projection: 'orders', position: 1n }))
    expect(reads).toHaveLength(50)
    expect(clock.nowMs() - beganAtMs).toBeGreaterThanOrEqual(490)
    await clock.advance(10)
    const laterAtMs = clock.nowMs()
    await clock.run(reader.waitFor({ projection: 'orders', position: 1n }))
    expect(clock.nowMs()).toBe(laterAtMs)
  })

  test('a wait is told of its own looks alone, not of what an earlier wait has seen', async () => {
    const { clock, reader, set, hang } = stored()
    set('orders', '1')
    await clock.run(reader.waitFor({ projection: 'orders', position: 1n }))
    await clock.advance(1_000)
    hang()
    const late = outcomeOf(reader.waitFor({ projection: 'orders', position: 2n, timeoutMs: 100 }))
    await clock.advance(100)
    expect(late.error).toMatchObject({ message: expect.stringContaining('its checkpoint was not read yet') })
  })

  test('no wait ends before its position is handled, and each ends soon after, whoever comes, goes, and moves the checkpoint back', async () => {
    const waitMs = fc.integer({ min: 0, max: 400 })
    const step = fc.record({
      restMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 }), waitMs),
      moveBy: fc.integer({ min: -3, max: 6 }),
      ahead: fc.integer({ min: -2, max: 8 }),
      leavesAfterMs: fc.option(waitMs),
      fails: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const { clock, reader, set, fail, reads } = stored()
        const moves: { readonly atMs: number; readonly to: number }[] = []
        const move = (to: number): void => {
          set('orders', String(to))
          moves.push({ atMs: clock.nowMs(), to })
        }
        const wasReached = (position: number, sinceMs: number): boolean =>
          moves.some(({ to }, n) => to >= position && (moves[n + 1]?.atMs ?? Infinity) >= sinceMs)
        let at = 1
        move(at)
        await clock.run(reader.waitFor({ projection: 'orders', position: 1n }))
        const left = new Error('it has left')
        const waits: Promise<void>[] = []
        for (const { restMs, moveBy, ahead, leavesAfterMs, fails } of steps) {
          fail(fails ? new TransientError('connection reset') : undefined)
          const [position, sinceMs, leaving] = [Math.max(1, at + ahead), clock.nowMs(), new AbortController()]
          const { signal } = leaving
          const wait = reader.waitFor({ projection: 'orders', position: BigInt(position), signal })
          const judged = wait.then(
            () => expect(wasReached(position, sinceMs), `${position} was not handled`).toBe(true),
            (error: unknown) => expect(error).toBe(left),
          )
          waits.push(judged)
          if (leavesAfterMs !== null) {
            void clock.sleep(leavesAfterMs, never()).then(() => leaving.abort(left))
          }
          await clock.advance(restMs)
          at = Math.max(0, at + moveBy)
          move(at)
        }
        fail(undefined)
        move(1_000)
        await clock.advance(500)
        await Promise.all(waits)
        expect(clock.sleeping).toBe(0)
        const pauses = reads.slice(1).map(({ atMs }, index) => atMs - (reads[index]?.atMs ?? 0))
        expect(Math.min(10, ...pauses)).toBeGreaterThanOrEqual(10 - 1e-6)
      }),
      { numRuns: 30 },
    )
  })

  test('waits for a projection that has no checkpoint yet; if it never has, the error says so', async () => {
    const { clock, reader, set } = stored()
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: 1n }))
    const late = outcomeOf(reader.waitFor({ projection: 'ordesr', position: 1n, timeoutMs: 2_000 }))
    await clock.advance(1_999)
    expect([wait.isSettled, late.isSettled]).toEqual([false, false])
    await clock.advance(1)
    expect(late.error).toMatchObject({
      code: 'TIDEMARK_WAIT_TIMEOUT',
      message:
        'projection "ordesr" has not handled position 1 within 2000 ms: it has no checkpoint: no daemon has started a projection of that name yet',
    })
    set('orders', undefined)
    await clock.advance(1_000)
    set('orders', '1')
    await clock.advance(1_000)
    expect(wait.isSettled).toBe(true)
    expect(clock.sleeping).toBe(0)
  })

  test.each([
    ['1', 'its checkpoint is 1'],
    [undefined, 'it has handled nothing yet'],
  ])('rejects after timeoutMs, and says where the checkpoint stands (%s)', async (position, expected) => {
    const { clock, reader, set } = stored()
    set('orders', position)
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: 7n, timeoutMs: 250 }))
    await clock.advance(250)
    expect(wait.error).toMatchObject({
      code: 'TIDEMARK_WAIT_TIMEOUT',
      message: expect.stringContaining(expected),
    })
    expect(clock.sleeping).toBe(0)
  })

  test('rejects when the signal fires, with its reason; the others go on', async () => {
    const { clock, reader, set, reads } = stored()
    set('orders', '1')
    const leaving = new AbortController()
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: 7n, signal: leaving.signal }))
    const other = outcomeOf(reader.waitFor({ projection: 'orders', position: 7n }))
    await clock.advance(100)
    leaving.abort(new Error('the client is gone'))
    await clock.settle()
    expect(wait.error).toMatchObject({ message: 'the client is gone' })
    expect(other.isSettled).toBe(false)
    expect(reads.at(-1)?.signal.aborted).toBe(false)
    set('orders', '7')
    await clock.advance(1_000)
    expect(other).toEqual({ isSettled: true, value: undefined })
    await expect(
      reader.waitFor({ projection: 'orders', position: 8n, signal: leaving.signal }),
    ).rejects.toThrow('the client is gone')
  })

  test('a read that hangs is given up when the last who waits has left, and nothing is left behind', async () => {
    const { clock, reader, hang, reads } = stored()
    hang()
    const leaving = new AbortController()
    const late = outcomeOf(reader.waitFor({ projection: 'orders', position: 7n, timeoutMs: 500 }))
    const gone = outcomeOf(reader.waitFor({ projection: 'orders', position: 7n, signal: leaving.signal }))
    await clock.advance(500)
    expect(late.error).toMatchObject({
      code: 'TIDEMARK_WAIT_TIMEOUT',
      message: expect.stringContaining('its checkpoint was not read yet'),
    })
    expect(reads[0]?.signal.aborted).toBe(false)
    leaving.abort()
    await clock.settle()
    expect(gone.isSettled).toBe(true)
    expect(reads[0]?.signal.aborted).toBe(true)
    expect(clock.sleeping).toBe(0)
    await clock.advance(60_000)
    expect(reads).toHaveLength(1)
  })

  test('whoever comes right after the last has left is served by looks of its own', async () => {
    const { clock, reader, set } = stored()
    set('orders', '1')
    for (let n = 0; n < 20; n++) {
      await clock.run(reader.waitFor({ projection: 'orders', position: 1n }))
      const leaving = new AbortController()
      const left = outcomeOf(reader.waitFor({ projection: 'orders', position: 2n, signal: leaving.signal }))
      leaving.abort()
      await clock.run(reader.waitFor({ projection: 'orders', position: 1n }))
      await clock.settle()
      expect(left.isSettled).toBe(true)
    }
    expect(clock.sleeping).toBe(0)
  })

  test('a fault of the store that passes is waited out; the error of a wait that took too long names it', async () => {
    const { clock, reader, set, fail } = stored()
    set('orders', '1')
    fail(new TransientError('connect ECONNREFUSED'))
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: 1n }))
    const late = outcomeOf(reader.waitFor({ projection: 'orders', position: 1n, timeoutMs: 1_000 }))
    await clock.advance(1_000)
    expect(late.error).toMatchObject({
      code: 'TIDEMARK_WAIT_TIMEOUT',
      message: expect.stringContaining('its checkpoint could not be read: connect ECONNREFUSED'),
    })
    fail(undefined)
    await clock.advance(500)
    expect(wait).toEqual({ isSettled: true, value: undefined })
  })

  test('any other fails the wait at once, with its cause', async () => {
    const { clock, reader, fail } = stored()
    const cause = new Error('permission denied for table checkpoints')
    fail(cause)
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: 1n, timeoutMs: 60_000 }))
    await clock.settle()
    expect(wait.error).toMatchObject({
      code: 'TIDEMARK_WAIT_FAILED',
      message:
        'the checkpoint of projection "orders" cannot be read: permission denied for table checkpoints',
      cause,
    })
    expect(clock.sleeping).toBe(0)
  })

  test('a checkpoint of another source fails the wait: its positions say nothing', async () => {
    const { clock, reader, set } = stored()
    set('orders', '100', 'other')
    const wait = outcomeOf(reader.waitFor({ projection: 'orders', position: 1n }))
    await clock.settle()
    expect(wait.error).toMatchObject({
      code: 'TIDEMARK_WAIT_FAILED',
      message: expect.stringContaining(
        'has a checkpoint of the source "other", and this reader is of "events"',
      ),
    })
    await expect(reader.position('orders')).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_FAILED' })
    expect(clock.sleeping).toBe(0)
  })
})

test('a position is read as it is stored, and none where there is none', async () => {
  const { reader, set, reads } = stored()
  expect(await reader.position('orders')).toBeUndefined()
  set('orders', undefined)
  expect(await reader.position('orders')).toBeUndefined()
  set('orders', '9007199254740993')
  expect(await reader.position('orders')).toBe(9007199254740993n)
  expect(reads).toHaveLength(3)
})

test('of a store only read is called: no checkpoint is made, also where nobody has ever started the projection', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  const refuse = () => {
    throw new Error('only read may be called')
  }
  const store = alteredCheckpoints(checkpoints, {
    prepare: refuse,
    open: refuse,
    advance: refuse,
    list: refuse,
    progress: refuse,
  })
  const source = altered(events, { open: refuse, readHighWater: refuse, load: refuse })
  const reader = createProgressReader({ checkpoints: store, source, clock })
  await expect(
    clock.run(reader.waitFor({ projection: 'all', position: 1n, timeoutMs: 1_000 })),
  ).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_TIMEOUT' })
  expect(await checkpoints.list({}, new AbortController().signal)).toEqual([])
  const all = recording('all')
  await daemon([all]).start()
  const appended = events.append('a', 1)
  expect(appended).toBe(1n)
  await clock.run(reader.waitFor({ projection: 'all', position: 1n }))
  expect(all.seen).toEqual([1n])
  expect(await checkpoints.read(wholeUnit('all'), new AbortController().signal)).toMatchObject({
    position: '1',
  })
})

describe('refused at the call, by name and value:', () => {
  const options = {
    checkpoints: { name: 'x', read: async () => undefined, isTransient: () => false },
    source: { name: 'events', order: denseOrder },
  }

  test.each<[string, Record<string, unknown>]>([
    ['checkpoints: expected a CheckpointStore, found undefined', { checkpoints: undefined }],
    ['source: expected an EventSource, found undefined', { source: undefined }],
    ['one of the options checkpoints, source, clock', { pollMs: 5 }],
  ])('%s', (expected, by) => {
    expect(() => createProgressReader({ ...options, ...by } as ProgressReaderOptions<bigint>)).toThrow(
      expected,
    )
  })

  test.each<[string, Record<string, unknown>]>([
    ['projection: expected a non-empty string', { projection: '' }],
    ['position: expected a position of the source', { position: 'seven' }],
    ['position: expected a position of the source', { position: undefined }],
    ['position: expected a position of the source', { position: 7.5 }],
    ['timeoutMs: expected an integer from 1 to 2147483647', { timeoutMs: 0 }],
    ['timeoutMs: expected an integer from 1 to 2147483647', { timeoutMs: Number.POSITIVE_INFINITY }],
    ['one of the options projection, version, position, timeoutMs, signal', { upTo: 1n }],
  ])('%s', async (expected, by) => {
    const reader = createProgressReader<bigint>(options)
    const wait = { projection: 'orders', position: 1n, ...by }
    await expect(reader.waitFor(wait as never)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
      message: expect.stringContaining(expected),
    })
  })
})
