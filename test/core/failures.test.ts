import {
  EventMappingError,
  type HandlerFailedReport,
  type Logger,
  type StoreFailedReport,
} from '@tidemark/core'
import type { LoadRequest } from '@tidemark/core/adapter'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { whatToDo } from '../../packages/core/src/failures/what-to-do.ts'
import {
  altered,
  alteredCheckpoints,
  gate,
  projectionOf,
  recording,
  rig,
  stateOf,
  stopAll,
  TransientError,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

function told() {
  const logger = {
    info: vi.fn<Logger['info']>(),
    warn: vi.fn<Logger['warn']>(),
    error: vi.fn<Logger['error']>(),
  }
  const handlerFailed = vi.fn<(report: HandlerFailedReport) => void>()
  const storeFailed = vi.fn<(report: StoreFailedReport) => void>()
  const lines = (level: keyof Logger): string[] => logger[level].mock.calls.map(([message]) => message)
  return { logger, lines, handlerFailed, storeFailed, telemetry: { handlerFailed, storeFailed } }
}

describe('a poison event', () => {
  async function poisoned() {
    const made = rig()
    for (const type of ['Deposited', 'Withdrawn', 'Deposited', 'Withdrawn']) made.events.append(type, {})
    const { logger, lines, telemetry, handlerFailed } = told()
    const running = made.daemon(
      [
        {
          name: 'orders',
          attempts: 3,
          batchSize: 2,
          handle: (batch) => {
            if (batch.some(({ position }) => position === 4n)) {
              throw new Error('cannot handle poison', { cause: new RangeError('amount below 0') })
            }
          },
        },
      ],
      { logger, telemetry },
    )
    await running.start()
    await made.clock.until(() => stateOf(running, 'orders') === 'paused')
    return { running, lines, handlerFailed }
  }

  test('is in the log with positions, types, the error with its stack and causes, and what to do', async () => {
    const { lines } = await poisoned()
    const [paused, ...others] = lines('error')
    expect(others).toEqual([])
    expect(paused).toContain(
      'projection "orders" is paused: its handler failed at position 4 (Withdrawn), attempt 3 of 3: ' +
        'cannot handle poison. Nothing is skipped, its checkpoint is 3, it is paused since 1970-01-01T00:1',
    )
    expect(paused).toMatch(/\nError: cannot handle poison\n +at .*failures\.test\.ts/)
    expect(paused).toMatch(/\ncaused by: RangeError: amount below 0\n +at /)
  })

  test('is told when it first fails, and when it is known which event fails, in one line for all of its retries', async () => {
    const { lines } = await poisoned()
    expect(lines('warn')).toEqual([
      expect.stringMatching(
        /"orders" is retrying: its handler failed on 2 events \(Deposited, Withdrawn\) at positions 3 to 4: .*; smaller parts of it are tried/,
      ),
      expect.stringMatching(
        /"orders" is retrying: its handler failed at position 4 \(Withdrawn\), attempt 1 of 3: /,
      ),
    ])
  })

  test('is in the status with positions, types, attempts, and what to do', async () => {
    const { running } = await poisoned()
    expect(projectionOf(running, 'orders')).toMatchObject({
      position: 3n,
      error: { message: 'cannot handle poison' },
      failure: {
        stage: 'handle',
        batch: { firstPosition: '4', lastPosition: '4', events: 1, eventTypes: ['Withdrawn'] },
        attempt: 3,
        attempts: 3,
        whatToDo: expect.stringContaining('tried again by itself'),
      },
    })
  })

  test('is in each report of telemetry, with its attempt', async () => {
    const { handlerFailed } = await poisoned()
    const both = { firstPosition: '3', lastPosition: '4', events: 2, eventTypes: ['Deposited', 'Withdrawn'] }
    const batch = { firstPosition: '4', lastPosition: '4', events: 1, eventTypes: ['Withdrawn'] }
    expect(handlerFailed.mock.calls.map(([report]) => report)).toMatchObject([
      { action: 'retry', stage: 'handle', attempt: 0, batch: both },
      { action: 'retry', stage: 'handle', attempt: 1, batch },
      { action: 'retry', stage: 'handle', attempt: 2, batch },
      { action: 'pause', stage: 'handle', attempt: 3, batch },
    ])
  })

  test('that cannot be mapped is named alone, with its type', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 5; i++) events.append('Deposited', i)
    const source = altered(events, {
      load: async () => {
        throw new EventMappingError('4', new SyntaxError('no JSON'), 'Deposited')
      },
    })
    const { logger, lines, telemetry, handlerFailed } = told()
    const running = daemon([recording('orders', { attempts: 2 })], { source, logger, telemetry })
    await running.start()
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    expect(lines('error')).toEqual([
      expect.stringMatching(
        /is paused: an event could not be mapped at position 4 \(Deposited\), attempt 2 of 2: .*no JSON \(TIDEMARK_EVENT_MAPPING\)\. .*mend the mapping/,
      ),
    ])
    expect(handlerFailed.mock.lastCall?.[0]).toMatchObject({
      stage: 'map',
      batch: { firstPosition: '4', events: 1 },
    })
  })
})

test('a checkpoint of another source says how to mend it: whoever reads it is not sent to look at the store', () => {
  const retried = { kind: 'retry', waitMs: 50, counted: false } as const
  const ofAnother = Object.assign(new Error('update the row'), { code: 'TIDEMARK_PROJECTION_SOURCE' })
  expect(whatToDo('read', retried, ofAnother)).toMatch(/; do what the error says$/)
  expect(whatToDo('read', retried, new Error('connection refused'))).toMatch(/; see that the store is up/)
})

describe('a fault of the store that it does not call passing', () => {
  const missing = (): never => {
    throw new Error('relation "events" does not exist')
  }

  test.each(['load', 'open', 'advance before the work', 'advance after the work'])(
    '(%s) is retried for ever, is no attempt, and is told at first and then at most once a minute',
    async (where) => {
      const { clock, events, checkpoints, daemon } = rig()
      for (let i = 0; i < 3; i++) events.append('a', i)
      let isBroken = true
      const breaks = (at: string): void => {
        if (isBroken && at === where) missing()
      }
      const source = altered(events, {
        load: async (request: LoadRequest<bigint>) => {
          breaks('load')
          return await events.load(request)
        },
      })
      const store = alteredCheckpoints(checkpoints, {
        open: async (...args) => {
          breaks('open')
          return await checkpoints.open(...args)
        },
        advance: async (request, work) => {
          breaks('advance before the work')
          return await checkpoints.advance(request, async (tx) => {
            await work(tx)
            breaks('advance after the work')
          })
        },
      })
      const { logger, lines, telemetry, handlerFailed, storeFailed } = told()
      const all = recording('all', { attempts: 1 })
      const running = daemon([all], { source, checkpoints: store, logger, telemetry })
      await running.start()
      await clock.advance(600_000)
      const stage = where.startsWith('advance') ? 'commit' : 'read'
      expect(projectionOf(running, 'all')).toMatchObject({
        state: 'retrying',
        error: { message: 'relation "events" does not exist' },
        failure: { stage, attempt: 0, whatToDo: expect.stringContaining('for as long as it takes') },
      })
      expect(lines('warn').length).toBeGreaterThanOrEqual(9)
      expect(lines('warn').length).toBeLessThanOrEqual(11)
      expect(lines('error')).toEqual([])
      expect(handlerFailed).not.toHaveBeenCalled()
      expect(storeFailed.mock.lastCall?.[0]).toMatchObject({ projection: 'all', stage })
      isBroken = false
      await clock.run(running.waitUntilProjected())
      await clock.settle()
      expect(stateOf(running, 'all')).toBe('live')
      expect(lines('info')).toEqual([
        expect.stringMatching(/"all" goes on, after \d+ failures within \d+\.\d s/),
      ])
    },
  )

  test('between two failures of the handler does not make them fewer, or more', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    let calls = 0
    let handled = 0
    const store = alteredCheckpoints(checkpoints, {
      advance: async (request, work) => {
        if (++calls % 2 === 0) missing()
        return await checkpoints.advance(request, work)
      },
    })
    const running = daemon(
      [
        {
          name: 'broken',
          attempts: 3,
          handle: () => {
            handled++
            throw new Error('poison')
          },
        },
      ],
      { checkpoints: store },
    )
    await running.start()
    await clock.until(() => stateOf(running, 'broken') === 'paused')
    expect(handled).toBe(3)
  })
})

test('a store that stays away while the handler works is the store, though the handler throws it too', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  let isDown = true
  const store = alteredCheckpoints(checkpoints, {
    isTransient: (error, thrownBy) => thrownBy === 'handler' && error instanceof TransientError,
  })
  const running = daemon(
    [
      {
        name: 'all',
        attempts: 1,
        handle: () => {
          if (isDown) throw new TransientError('connection terminated')
        },
      },
    ],
    { checkpoints: store },
  )
  await running.start()
  await clock.advance(600_000)
  expect(stateOf(running, 'all')).toBe('retrying')
  isDown = false
  await clock.run(running.waitUntilProjected())
})

test('what the handler throws is never the fault of the source: it has nothing of that in its hands', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const source = altered(events, { isTransient: (error) => error instanceof TransientError })
  const refused = () => {
    throw new TransientError('connect ECONNREFUSED 127.0.0.1:25')
  }
  const running = daemon([{ name: 'mails', attempts: 1, handle: refused }], { source })
  await running.start()
  await clock.until(() => stateOf(running, 'mails') === 'paused')
})

describe('a store that does not answer at all', () => {
  test.each(['load', 'open'] as const)('(%s) is told after 10 s, and then once a minute', async (method) => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const hanging = gate()
    const source = altered(events, {
      load: async (request: LoadRequest<bigint>) => {
        if (method === 'load') await hanging.promise
        return await events.load(request)
      },
    })
    const store = alteredCheckpoints(checkpoints, {
      open: async (...args) => {
        if (method === 'open') await hanging.promise
        return await checkpoints.open(...args)
      },
    })
    const { logger, lines } = told()
    const running = daemon([recording('all')], { source, checkpoints: store, logger })
    await running.start()
    await clock.advance(9_000)
    expect(lines('warn')).toEqual([])
    await clock.advance(191_000)
    expect(lines('warn')).toHaveLength(4)
    expect(lines('warn')[0]).toMatch(/"all" stands still, it asks for .*: no answer for 10 s/)
    hanging.open()
    await clock.run(running.waitUntilProjected())
    await clock.advance(120_000)
    expect(lines('warn')).toHaveLength(4)
  })

  test('while it is prepared is told, and start() ends with stop()', async () => {
    const { clock, checkpoints, daemon } = rig()
    let given: AbortSignal | undefined
    const store = alteredCheckpoints(checkpoints, {
      prepare: (signal) => {
        given = signal
        return new Promise(() => {})
      },
    })
    const { logger, lines } = told()
    const running = daemon([recording('all')], { checkpoints: store, logger, drainTimeoutMs: 2_000 })
    const starting = running.start()
    await clock.advance(80_000)
    expect(lines('warn')).toEqual([
      expect.stringMatching(/cannot be prepared yet, .*: no answer for 10 s/),
      expect.stringMatching(/cannot be prepared yet, .*: no answer for 70 s/),
    ])
    const before = clock.nowMs()
    const stopping = running.stop()
    expect(given?.aborted).toBe(true)
    await clock.run(Promise.all([starting, stopping]))
    expect(clock.nowMs() - before, 'the store does not heed its signal either').toBeLessThanOrEqual(3_000)
  })

  test('while it cannot be prepared for a passing reason is told at first and then at most once a minute', async () => {
    const { clock, checkpoints, daemon } = rig()
    let isDown = true
    const store = alteredCheckpoints(checkpoints, {
      prepare: async () => {
        if (isDown) throw new TransientError('connection refused')
      },
      isTransient: (error) => error instanceof TransientError,
    })
    const { logger, lines } = told()
    const running = daemon([recording('all')], { checkpoints: store, logger })
    const starting = running.start()
    await clock.advance(300_000)
    expect(lines('warn').length).toBeGreaterThanOrEqual(4)
    expect(lines('warn').length).toBeLessThanOrEqual(6)
    isDown = false
    await clock.run(starting)
  })
})
