import { HandlerTimeoutError, type Logger, type Projection } from '@tidemark/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  alteredCheckpoints,
  type Event,
  gate,
  projectionOf,
  recording,
  rig,
  stateOf,
  stopAll,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const LIMIT_MS = 60_000
const DRAIN_MS = 5_000

interface Call {
  readonly positions: readonly bigint[]
  readonly atMs: number
  readonly signal: AbortSignal
  isRunning: boolean
}

/** A projection of eight events, beside one that only records. What a call waits for is up to `wait`. */
async function hanging(
  wait: (call: Call, count: number) => Promise<void> | void,
  { isTransactional, ...options }: Partial<Projection<Event, undefined>> & { isTransactional: boolean },
) {
  const { clock, events, checkpoints, daemon } = rig()
  for (let i = 0; i < 8; i++) events.append('a', i)
  const store = isTransactional ? alteredCheckpoints(checkpoints, { isTransactional }) : checkpoints
  const logger = {
    info: vi.fn<Logger['info']>(),
    warn: vi.fn<Logger['warn']>(),
    error: vi.fn<Logger['error']>(),
  }
  const calls: Call[] = []
  const other = recording('other')
  const running = daemon(
    [
      {
        name: 'hung',
        handlerTimeoutMs: LIMIT_MS,
        handle: async (batch, { signal }) => {
          const positions = batch.map(({ position }) => position)
          const call = { positions, atMs: clock.nowMs(), signal, isRunning: true }
          calls.push(call)
          try {
            await wait(call, calls.length)
          } finally {
            call.isRunning = false
          }
        },
        ...options,
      },
      other,
    ],
    { checkpoints: store, logger, drainTimeoutMs: DRAIN_MS },
  )
  await running.start()
  const warnings = () => logger.warn.mock.calls.map(([message]) => message)
  const letters = async () =>
    (await store.deadLetters?.list({}, { limit: 9 }, new AbortController().signal)) ?? []
  return { clock, running, calls, other, warnings, letters }
}

const forever = (): Promise<void> => new Promise(() => {})

test('a call that takes as long as it may, and no longer, is not cut', async () => {
  const held = gate()
  const { clock, running, calls } = await hanging(() => held.promise, { isTransactional: true })
  await clock.advance(LIMIT_MS - 1)
  held.open()
  await clock.run(running.waitUntilProjected())
  await clock.advance(LIMIT_MS)
  expect(calls).toHaveLength(1)
  expect(calls[0]?.signal.aborted).toBe(false)
  expect(projectionOf(running, 'hung')).toMatchObject({ position: 8n, state: 'live', failure: undefined })
})

describe('a call that takes longer', () => {
  test('has its signal fired, and is told with its projection, limit, positions and what to do', async () => {
    const { clock, running, calls } = await hanging((_, count) => (count === 1 ? forever() : undefined), {
      isTransactional: true,
    })
    await clock.until(() => calls[0]?.signal.aborted === true)
    await clock.settle()
    const { error, failure, state } = projectionOf(running, 'hung')
    expect(state).toBe('retrying')
    expect(error).toBe(calls[0]?.signal.reason)
    expect(error).toBeInstanceOf(HandlerTimeoutError)
    expect(error).toMatchObject({
      code: 'TIDEMARK_HANDLER_TIMEOUT',
      projection: 'hung',
      handlerTimeoutMs: LIMIT_MS,
      firstPosition: '1',
      lastPosition: '8',
      message: expect.stringMatching(
        /"hung": its handler took longer than handlerTimeoutMs \(60000\) for 8 events at positions 1 to 8\. .*nothing of it is committed\. Find what the handler waits for/,
      ),
    })
    expect(failure).toMatchObject({ stage: 'handle', batch: { events: 8 } })
    expect(JSON.parse(JSON.stringify(projectionOf(running, 'hung'))).error).toMatchObject({
      name: 'HandlerTimeoutError',
      handlerTimeoutMs: LIMIT_MS,
    })
  })

  test('is narrowed to the event that takes too long, which alone uses up attempts; what is before it is committed', async () => {
    const isSlow = ({ positions }: Call) => (positions.includes(6n) ? forever() : undefined)
    const { clock, running, calls } = await hanging(isSlow, { isTransactional: true, attempts: 2 })
    await clock.until(() => stateOf(running, 'hung') === 'paused')
    const slow = calls.filter(({ positions }) => positions.includes(6n))
    expect(slow.map(({ positions }) => positions.length)).toEqual([8, 4, 2, 1, 1])
    expect(projectionOf(running, 'hung')).toMatchObject({
      position: 5n,
      error: { code: 'TIDEMARK_HANDLER_TIMEOUT', firstPosition: '6', lastPosition: '6' },
      failure: { stage: 'handle', attempt: 2, attempts: 2, batch: { events: 1, firstPosition: '6' } },
    })
  })

  test('fails with this error, whatever it throws when its signal fires', async () => {
    const heeds = ({ signal }: Call, count: number) =>
      count > 1
        ? undefined
        : new Promise<void>((_, reject) => {
            signal.addEventListener('abort', () => reject(new Error('the request was cancelled')))
          })
    const { clock, running, calls } = await hanging(heeds, { isTransactional: true })
    await clock.until(() => calls[0]?.signal.aborted === true)
    await clock.settle()
    expect(projectionOf(running, 'hung').error).toMatchObject({ code: 'TIDEMARK_HANDLER_TIMEOUT' })
    await clock.run(running.waitUntilProjected())
  })

  test('stops no other projection', async () => {
    const { clock, running, other } = await hanging(forever, { isTransactional: true })
    await clock.run(running.waitUntilProjected({ projections: ['other'] }))
    expect(other.seen).toHaveLength(8)
  })
})

describe('on a store that ends its transaction', () => {
  test('the next try does not wait for a call that never settles, and whatever that throws later is nobody’s', async () => {
    const held = gate()
    const late = async () => {
      await held.promise
      throw new Error('what it throws so late')
    }
    const { clock, running, calls } = await hanging((_, count) => (count === 1 ? late() : undefined), {
      isTransactional: true,
    })
    await clock.run(running.waitUntilProjected())
    expect(calls.map(({ isRunning }) => isRunning)).toEqual([true, false, false])
    held.open()
    await clock.settle()
    expect(projectionOf(running, 'hung')).toMatchObject({ position: 8n, failure: undefined })
  })
})

describe('on a store without transactions', () => {
  test('the next try waits until the old call has settled, which status and log say', async () => {
    const held = gate()
    const { clock, running, calls, warnings } = await hanging(
      (_, count) => (count === 1 ? held.promise : undefined),
      { isTransactional: false },
    )
    await clock.advance(LIMIT_MS + 600_000)
    expect(calls).toHaveLength(1)
    expect(projectionOf(running, 'hung')).toMatchObject({
      state: 'retrying',
      position: undefined,
      error: {
        code: 'TIDEMARK_HANDLER_TIMEOUT',
        message: expect.stringMatching(
          /What it writes stays, and the projection waits until this call has ended/,
        ),
      },
      failure: { stage: 'handle' },
    })
    const waiting = warnings().filter((line) => line.includes('stands still'))
    expect(waiting[0]).toMatch(/"hung" stands still: a call of its handler .* still runs, 10 s later/)
    expect(waiting).toHaveLength(10)
    held.open()
    await clock.run(running.waitUntilProjected())
    expect(calls.slice(1).map(({ positions }) => positions.length)).toEqual([4, 4])
  })

  test('an event that is given up gets its dead letter only once its call has settled', async () => {
    const held = gate()
    const { clock, running, calls, warnings, letters } = await hanging(
      ({ positions }) => (positions.includes(1n) ? held.promise : undefined),
      { isTransactional: false, batchSize: 1, attempts: 1, onFailure: 'skip' },
    )
    await clock.advance(LIMIT_MS + 600_000)
    expect(calls.map(({ isRunning }) => isRunning)).toEqual([true])
    expect(await letters()).toEqual([])
    expect(projectionOf(running, 'hung')).toMatchObject({ position: undefined, skipped: {} })
    expect(warnings().filter((line) => line.includes('stands still'))).toHaveLength(10)
    held.open()
    await clock.run(running.waitUntilProjected())
    expect(await letters()).toMatchObject([
      { firstPosition: '1', lastPosition: '1', tries: 1, error: { code: 'TIDEMARK_HANDLER_TIMEOUT' } },
    ])
    expect(calls).toHaveLength(8)
    expect(projectionOf(running, 'hung')).toMatchObject({ position: 8n, skipped: { apply_error: 1n } })
  })

  test('no event is given up after stop() has ended the wait for its call', async () => {
    const { clock, running, letters } = await hanging(forever, {
      isTransactional: false,
      batchSize: 1,
      attempts: 1,
      onFailure: 'skip',
    })
    await clock.advance(LIMIT_MS + 1_000)
    await clock.run(running.stop())
    await clock.settle()
    expect(await letters()).toEqual([])
  })

  test('no two calls ever run at once, however often they take too long', async () => {
    const atOnce: number[] = []
    let running = 0
    const { clock, running: daemon } = await hanging(
      async ({ positions, signal }) => {
        atOnce.push(++running)
        if (positions.length > 1) {
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
          await clock.sleep(30_000, new AbortController().signal)
        }
        running--
      },
      { isTransactional: false },
    )
    await clock.run(daemon.waitUntilProjected())
    expect(Math.max(...atOnce)).toBe(1)
  })
})

describe.each([true, false])('stop() (transactions: %s)', (isTransactional) => {
  test('ends after drainTimeoutMs while a call hangs', async () => {
    const { clock, running } = await hanging(forever, { isTransactional })
    await clock.advance(1_000)
    const before = clock.nowMs()
    await clock.run(running.stop())
    expect(clock.nowMs() - before).toBe(DRAIN_MS)
  })

  test('ends while the next try waits for a call that never settles', async () => {
    const { clock, running, calls } = await hanging(forever, { isTransactional })
    await clock.advance(LIMIT_MS + 1_000)
    expect(calls).toHaveLength(isTransactional ? 2 : 1)
    const before = clock.nowMs()
    await clock.run(running.stop())
    expect(clock.nowMs() - before).toBe(DRAIN_MS)
    expect(calls).toHaveLength(isTransactional ? 2 : 1)
  })
})

test('stop() leaves no timer behind where the store does not heed its signal either', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  const store = alteredCheckpoints(checkpoints, {
    advance: async (_, work) => {
      await work(undefined)
      throw new Error('its handler never ends')
    },
  })
  const running = daemon([{ name: 'hung', handlerTimeoutMs: LIMIT_MS, handle: forever }], {
    checkpoints: store,
    drainTimeoutMs: DRAIN_MS,
  })
  await running.start()
  await clock.advance(1_000)
  await clock.run(running.stop())
  expect(clock.sleeping).toBe(0)
})

test('stop() of a projection that rests waits as long as drainTimeoutMs for a call that nobody could end', async () => {
  const { clock, running, calls } = await hanging(forever, { isTransactional: false })
  await clock.until(() => stateOf(running, 'hung') === 'retrying')
  const before = clock.nowMs()
  await clock.run(running.stop())
  expect(clock.nowMs() - before).toBe(DRAIN_MS)
  expect(calls).toHaveLength(1)
})
