import { EventMappingError, type Logger, type OnFailure, UnsupportedByStoreError } from '@tidemark/core'
import type { DeadLetter } from '@tidemark/core/adapter'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  altered,
  alteredCheckpoints,
  alteredLetters,
  type Event,
  positionOf,
  projectionOf,
  recording,
  rig,
  stateOf,
  stopAll,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const upTo = (last: number): bigint[] => Array.from({ length: last }, (_, index) => BigInt(index + 1))
const never = (): AbortSignal => new AbortController().signal

/** `count` events of which some fail whenever they are tried, with a policy. */
async function failing(
  onFailure: OnFailure<Event> | undefined,
  { count = 20, poison = [7n] as readonly bigint[], ...options } = {},
) {
  const { clock, events, checkpoints, daemon } = rig()
  for (let i = 0; i < count; i++) events.append(i % 2 === 0 ? 'even' : 'odd', i)
  const bad = new Set(poison)
  const recorded = recording('orders')
  const logger = {
    info: vi.fn<Logger['info']>(),
    warn: vi.fn<Logger['warn']>(),
    error: vi.fn<Logger['error']>(),
  }
  const actions: string[] = []
  const skipped = vi.fn()
  const telemetry = { handlerFailed: ({ action }: { action: string }) => void actions.push(action), skipped }
  const projection = {
    name: 'orders',
    attempts: 3,
    batchSize: 8,
    ...(onFailure === undefined ? {} : { onFailure }),
    ...options,
    handle: (batch: readonly Event[]) => {
      const found = batch.find(({ position }) => bad.has(position))
      if (found)
        throw Object.assign(new RangeError(`cannot handle ${found.position}`), { secret: found.data })
      return recorded.handle(batch, { tx: undefined, signal: never() })
    },
  }
  const running = daemon([projection], { logger, telemetry })
  await running.start()
  const letters = async (): Promise<readonly DeadLetter[]> =>
    (await checkpoints.deadLetters?.list({}, { limit: 100 }, never())) ?? []
  const errors = () => logger.error.mock.calls.map(([message]) => message)
  const lines = () => [logger.info, logger.warn, logger.error].flatMap(({ mock }) => mock.calls)
  return {
    clock,
    events,
    running,
    seen: recorded.seen,
    bad,
    letters,
    errors,
    lines,
    logger,
    actions,
    skipped,
  }
}

describe("onFailure 'skip'", () => {
  test('passes the event that fails after its attempts, with a dead letter, and counts it', async () => {
    const { clock, running, seen, letters, actions, skipped } = await failing('skip')
    await clock.run(running.waitUntilProjected())
    expect(seen).toEqual(upTo(20).filter((position) => position !== 7n))
    const status = projectionOf(running, 'orders')
    expect(status).toMatchObject({
      position: 20n,
      state: 'live',
      handledEvents: 19,
      skipped: { apply_error: 1n },
      failure: undefined,
    })
    const [letter, ...others] = await letters()
    expect(others).toEqual([])
    expect(letter).toMatchObject({
      projection: 'orders',
      source: 'in-memory',
      firstPosition: '7',
      lastPosition: '7',
      events: 1,
      eventTypes: ['even'],
      stage: 'handle',
      error: {
        name: 'RangeError',
        message: 'cannot handle 7',
        stack: expect.stringContaining('on-failure.test'),
      },
      tries: 3,
      closed: undefined,
    })
    expect(letter?.error, 'what is in the event').not.toHaveProperty('secret')
    expect(actions.filter((action) => action !== 'retry')).toEqual(['skip'])
    const crossed = [{ reason: 'apply_error', stored: '7', current: '7', count: 1n }]
    expect(skipped.mock.calls).toEqual([[{ projection: 'orders', crossed, totals: { apply_error: 1n } }]])
  })

  test('is said in one line, with what was skipped; of many two lines a minute, the second with their number', async () => {
    const poison = upTo(10)
    const { clock, events, running, bad, errors, letters } = await failing('skip', { count: 10, poison })
    await clock.run(running.waitUntilProjected())
    expect(await letters()).toHaveLength(10)
    expect(errors()).toEqual([
      expect.stringMatching(
        /^tidemark: projection "orders" has skipped the event at position 1 \(even\) after 3 tries: its handler failed: cannot handle 1\. A dead letter .+\nRangeError: cannot handle 1\n/,
      ),
    ])
    await clock.advance(60_000)
    expect(errors().slice(1)).toEqual([
      'tidemark: projection "orders" has skipped 9 more events; operations.deadLetters.list() says which, and why',
    ])
    bad.add(events.append('late', 11))
    await clock.run(running.waitUntilProjected())
    expect(errors()).toHaveLength(3)
    expect(errors()[2]).toContain('the event at position 11 (late)')
    bad.add(events.append('late', 12))
    await clock.run(running.waitUntilProjected())
    expect(errors()).toHaveLength(3)
    await running.stop()
    expect(errors().slice(3), 'what was not said yet').toEqual([
      expect.stringContaining('has skipped 1 more event;'),
    ])
  })

  test('fills the log with no more than a few lines a minute, however many events fail', async () => {
    const poison = upTo(300)
    const { clock, running, lines } = await failing('skip', { count: 300, poison })
    const begunAtMs = clock.nowMs()
    await clock.run(running.waitUntilProjected())
    const minutes = Math.ceil((clock.nowMs() - begunAtMs) / 60_000)
    expect(lines().length).toBeLessThanOrEqual(5 * minutes)
  })

  test('keeps the events of one position together', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let i = 0; i < 6; i++) events.append('a', i)
    const handled: bigint[] = []
    const running = daemon(
      [
        {
          name: 'orders',
          attempts: 1,
          onFailure: 'skip',
          handle: (batch) => {
            if (batch.some(({ position }) => position === 3n)) throw new Error('boom')
            handled.push(...batch.map(({ position }) => position))
          },
        },
      ],
      { source: paired(events) },
    )
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(handled).toEqual([1n, 2n, 5n, 6n])
    expect(await checkpoints.deadLetters?.list({}, { limit: 9 }, never())).toMatchObject([
      { firstPosition: '4', lastPosition: '4', events: 2 },
    ])
    expect(projectionOf(running, 'orders').skipped).toEqual({ apply_error: 2n })
  })

  test('passes nothing while its dead letter cannot be written, and says so; it goes on when it can', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let i = 0; i < 3; i++) events.append('a', i)
    const { deadLetters } = checkpoints
    if (deadLetters === undefined) throw new Error('checkpoints in memory keep dead letters')
    let isBroken = true
    const bury: typeof deadLetters.bury = async (...args) => {
      if (isBroken) throw new Error('relation "dead_letters" does not exist')
      await deadLetters.bury(...args)
    }
    const store = alteredCheckpoints(checkpoints, { deadLetters: alteredLetters(deadLetters, { bury }) })
    const { projection, seen } = poisoned()
    const running = daemon([projection], { checkpoints: store })
    await running.start()
    await clock.until(() => {
      const { failure } = projectionOf(running, 'orders')
      return failure?.stage === 'commit'
    })
    await clock.advance(30_000)
    await clock.until(() => projectionOf(running, 'orders').failure?.stage === 'commit')
    const status = projectionOf(running, 'orders')
    expect(status).toMatchObject({ position: 1n, state: 'retrying', skipped: {} })
    expect(status.error).toMatchObject({ code: 'TIDEMARK_DEAD_LETTER_NOT_WRITTEN' })
    expect(JSON.stringify(status)).toContain(
      'could not be written: relation \\"dead_letters\\" does not exist',
    )
    expect(JSON.parse(JSON.stringify(status)).failure.batch).toMatchObject({ firstPosition: '2' })
    isBroken = false
    await clock.run(running.waitUntilProjected())
    expect(seen).toEqual([1n, 3n])
    expect(projectionOf(running, 'orders')).toMatchObject({ position: 3n, skipped: { apply_error: 1n } })
  })

  test('passes events that cannot be mapped, those of their position with them', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let i = 0; i < 20; i++) events.append(i % 2 === 0 ? 'even' : 'odd', i)
    const unmappable: ReadonlyMap<bigint, number> = new Map([
      [1n, 1],
      [7n, 3],
      [20n, 1],
    ])
    const source = altered(events, {
      load: async (request) => {
        const page = await events.load(request)
        const at = page.positions.find((position) => unmappable.has(position))
        if (at === undefined) return page
        throw new EventMappingError(String(at), new SyntaxError('no JSON'), 'even', unmappable.get(at))
      },
    })
    const orders = recording('orders', { attempts: 2, batchSize: 8, onFailure: 'skip' })
    const running = daemon([orders], { source })
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(orders.seen).toEqual(upTo(20).filter((position) => !unmappable.has(position)))
    expect(projectionOf(running, 'orders')).toMatchObject({
      position: 20n,
      skipped: { apply_error: 5n },
      failure: undefined,
    })
    const letters = (await checkpoints.deadLetters?.list({}, { limit: 9 }, never())) ?? []
    expect(letters.map(({ firstPosition, events: count }) => [firstPosition, count])).toEqual([
      ['1', 1],
      ['7', 3],
      ['20', 1],
    ])
    expect(letters[1]).toMatchObject({
      lastPosition: '7',
      eventTypes: ['even'],
      stage: 'map',
      tries: 2,
      error: {
        name: 'EventMappingError',
        code: 'TIDEMARK_EVENT_MAPPING',
        cause: { name: 'SyntaxError', message: 'no JSON' },
      },
    })
  })

  test('pauses at an event that its source names in a text of its own: nothing says where to go on', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 3; i++) events.append('a', i)
    const source = altered(events, {
      load: async () => {
        throw new EventMappingError('row 1', new SyntaxError('no JSON'))
      },
    })
    const orders = recording('orders', { attempts: 1, onFailure: 'skip' })
    const running = daemon([orders], { source })
    await running.start()
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    expect(projectionOf(running, 'orders')).toMatchObject({ position: undefined, skipped: {} })
  })

  test('is refused with checkpoints that keep no dead letters, before anything runs', () => {
    const { checkpoints, daemon } = rig()
    const { deadLetters: _, ...bare } = alteredCheckpoints(checkpoints, { name: 'bareCheckpoints' })
    const both: readonly OnFailure<Event>[] = ['skip', () => 'skip']
    for (const onFailure of both) {
      const make = () => daemon([{ name: 'orders', handle: () => {}, onFailure }], { checkpoints: bare })
      expect(make).toThrow(UnsupportedByStoreError)
      expect(make).toThrow(
        /^projections\[0\]\.onFailure: bareCheckpoints has no `deadLetters`, and an event is skipped or parked only together with .+; keep the checkpoints in postgresCheckpoints, or leave onFailure at 'pause' and keyOf out$/,
      )
    }
  })
})

/** Two events each at positions 2, 4 and 6. */
function paired(events: ReturnType<typeof rig>['events']) {
  return altered(events, {
    load: async (request) => {
      const even = request.limit + (request.limit % 2)
      const page = await events.load({ ...request, limit: even })
      return { ...page, positions: page.positions.map((position) => position + (position % 2n)) }
    },
  })
}

function poisoned() {
  const recorded = recording('orders')
  const handle: typeof recorded.handle = (batch, context) => {
    if (batch.some(({ position }) => position === 2n)) throw new Error('boom')
    return recorded.handle(batch, context)
  }
  const projection = { name: 'orders', attempts: 1, onFailure: 'skip', handle } as const
  return { projection, seen: recorded.seen }
}

describe('a function as onFailure', () => {
  test('is asked after the attempts, of the events that fail, and decides', async () => {
    const asked: unknown[] = []
    const { clock, running, seen, letters } = await failing(
      (failure) => {
        asked.push(failure)
        return failure.tries < 5 ? 'retry' : 'skip'
      },
      { poison: [7n] },
    )
    await clock.run(running.waitUntilProjected())
    expect(asked).toMatchObject(
      [3, 4, 5].map((tries) => ({
        stage: 'handle',
        tries,
        error: { message: 'cannot handle 7' },
        batch: { firstPosition: '7', lastPosition: '7', events: 1, eventTypes: ['even'] },
        events: [{ position: 7n, type: 'even', data: 6 }],
      })),
    )
    expect(seen).toEqual(upTo(20).filter((position) => position !== 7n))
    expect(await letters()).toMatchObject([{ firstPosition: '7', tries: 5 }])
  })

  test('skips what it looks for, and pauses at the others', async () => {
    const { clock, running, seen, bad, letters } = await failing(
      ({ events }) => (events[0]?.type === 'even' ? 'skip' : 'pause'),
      { poison: [5n, 12n] },
    )
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    expect(positionOf(running, 'orders')).toBe(11n)
    expect((await letters()).map(({ firstPosition }) => firstPosition)).toEqual(['5'])
    bad.clear()
    await clock.until(() => positionOf(running, 'orders') === 20n)
    expect(seen).toEqual(upTo(20).filter((position) => position !== 5n))
    expect(projectionOf(running, 'orders').skipped).toEqual({ apply_error: 1n })
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('no idea')
      },
      /onFailure did not decide, so it is paused: no idea; mend/,
    ],
    [
      'answers nonsense',
      () => 'ignore',
      /onFailure: expected it to return 'pause', 'skip', 'park_key' or 'retry', found "ignore"; mend/,
    ],
    [
      'is async',
      async () => {
        throw new Error('late')
      },
      /expected it to return 'pause', 'skip', 'park_key' or 'retry', found an object; mend/,
    ],
  ])('that %s pauses the projection, and the log says so', async (_, onFailure, said) => {
    const { clock, running, letters, errors } = await failing(onFailure as OnFailure<Event>)
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    expect(positionOf(running, 'orders')).toBe(6n)
    expect(await letters()).toEqual([])
    expect(errors()).toEqual([expect.stringMatching(said)])
    expect(projectionOf(running, 'orders').failure?.whatToDo).toMatch(said)
  })
})

test("onFailure 'pause' is what is done where nothing is said", async () => {
  for (const onFailure of [undefined, 'pause'] as const) {
    const { clock, running, seen, letters } = await failing(onFailure)
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    expect(seen).toEqual(upTo(6))
    expect(await letters()).toEqual([])
  }
})
