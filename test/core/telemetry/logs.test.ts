import type { Logger } from '@tidemark/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { GuessingStore } from '../../support/guessing-store.ts'
import { startOn } from '../../support/start.ts'
import { TimedStore } from '../../support/timed-store.ts'
import { alteredCheckpoints, gate, reading, recording, rig, scripted, stopAll } from '../rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const spied = () => ({
  info: vi.fn<Logger['info']>(),
  warn: vi.fn<Logger['warn']>(),
  error: vi.fn<Logger['error']>(),
})

describe('a mark that goes stale', () => {
  async function held() {
    const made = rig()
    const logger = spied()
    const store = new TimedStore(made.clock)
    store.append()
    await startOn(made.clock, made.daemon([recording('all')], { source: store.source, logger }))
    await made.clock.advance(100)
    const holder = store.begin()
    holder.append('a', {})
    store.append()
    return { ...made, logger, holder, warnings: () => logger.warn.mock.calls.map(([message]) => message) }
  }

  test('is one warning that names pid, application, age of the transaction and the query to look closer', async () => {
    const { clock, warnings } = await held()
    await clock.advance(2_500)
    expect(warnings()).toEqual([])
    await clock.advance(120_000)
    const [warning, ...others] = warnings()
    expect(others, 'never one a poll').toEqual([])
    expect(warning).toContain('orders is stale: settled 1, head 3')
    expect(warning).toContain('position 2 has been open for 3.')
    expect(warning).toMatch(/held by pid 4711 \(importer\), open for 3\.\d s/)
    expect(warning).toContain('look closer: select * from pg_stat_activity where pid in (4711)')
  })

  test('does not say that nobody holds it where nobody looks for that', async () => {
    const made = rig()
    const logger = spied()
    const store = new TimedStore(made.clock)
    store.append()
    const source = { ...store.source, passesUnproven: true, holders: [] }
    const read = store.source.readHighWater.bind(store.source)
    const blind = {
      ...source,
      readHighWater: async (...request: Parameters<typeof read>) => ({
        ...(await read(...request)),
        holders: [],
      }),
    }
    await startOn(made.clock, made.daemon([recording('all')], { source: blind, logger }))
    await made.clock.advance(100)
    store.begin().append('a', {})
    store.append()
    await made.clock.advance(10_000)
    expect(logger.warn.mock.calls.map(([message]) => message)).toEqual([
      expect.stringMatching(
        /position 2 has been open for .*; in this mode nobody looks who holds it before it is skipped/,
      ),
    ])
  })

  test('and recovers is one more, and so on the next time', async () => {
    const { clock, holder, warnings } = await held()
    await clock.advance(10_000)
    holder.commit()
    await clock.advance(60_000)
    expect(warnings()).toHaveLength(2)
    expect(warnings()[1]).toMatch(/orders is no longer stale, \d+\.\d s after/)
  })

  test('because polls fail is one warning that says why', async () => {
    const { clock, daemon } = rig()
    const logger = spied()
    const store = new TimedStore(clock)
    await startOn(clock, daemon([recording('all')], { source: store.source, logger }))
    store.failure = new Error('connection refused')
    await clock.advance(120_000)
    expect(logger.warn.mock.calls).toEqual([[expect.stringContaining('polls fail: connection refused')]])
    store.failure = undefined
    await clock.advance(10_000)
    expect(logger.warn).toHaveBeenCalledTimes(2)
  })

  test.each([
    ['connection', /a poll has waited [34]\.\d s for a connection/],
    ['answer', /a poll has had no answer for [34]\.\d s/],
    [undefined, /a poll has had no answer for [34]\.\d s/],
  ] as const)('because a poll hangs (%s) is one warning while it still hangs', async (what, text) => {
    const { clock, daemon } = rig()
    const logger = spied()
    const [begun, hung] = [gate(), gate()]
    const source = scripted(async ({ previous, waiting }) => {
      if (previous) {
        if (what) waiting?.(what)
        begun.open()
        await hung.promise
      }
      return reading({ head: 1n, settled: 1n, mark: 1n })
    })
    await daemon([recording('all')], { source, logger }).start()
    await begun.promise
    await clock.advance(2_500)
    expect(logger.warn).not.toHaveBeenCalled()
    await clock.advance(60_000)
    expect(logger.warn.mock.calls).toEqual([[expect.stringMatching(text)]])
    hung.open()
    await clock.advance(1_000)
    expect(logger.warn.mock.calls.slice(1)).toEqual([[expect.stringContaining('is no longer stale')]])
  })

  test('because the first poll hangs is one warning, though start() has not returned', async () => {
    const { clock, daemon } = rig()
    const logger = spied()
    const [begun, hung] = [gate(), gate()]
    const source = scripted(async () => {
      begun.open()
      await hung.promise
      return reading()
    })
    const starting = daemon([recording('all')], { source, logger }).start()
    await begun.promise
    await clock.advance(10_000)
    expect(logger.warn.mock.calls).toEqual([[expect.stringContaining('a poll has had no answer for')]])
    hung.open()
    await starting
  })

  test('because the checkpoint store hangs when settled is saved is one warning', async () => {
    const { clock, checkpoints, daemon } = rig()
    const logger = spied()
    const hung = gate()
    const store = alteredCheckpoints(checkpoints, { settled: { save: () => hung.promise } })
    const source = scripted(() => reading({ head: 1n, settled: 1n, mark: 1n }))
    const starting = daemon([recording('all')], { source, checkpoints: store, logger }).start()
    await clock.advance(10_000)
    expect(logger.warn.mock.calls).toEqual([[expect.stringContaining('a poll has had no answer for')]])
    hung.open()
    await starting
  })

  test('is not what an idle store is, nor a short transaction', async () => {
    const { clock, logger, holder } = await held()
    await clock.advance(1_000)
    holder.rollback()
    await clock.advance(600_000)
    expect(logger.warn).not.toHaveBeenCalled()
  })
})

test('a projection that pauses is one error with its name and why', async () => {
  const { clock, daemon } = rig()
  const logger = spied()
  const store = new TimedStore(clock)
  store.append()
  const handle = (): never => {
    throw new Error('cannot be mailed')
  }
  await startOn(clock, daemon([{ name: 'mailer', handle, attempts: 2 }], { source: store.source, logger }))
  await clock.advance(60_000)
  expect(logger.error.mock.calls).toEqual([
    [
      expect.stringMatching(
        /^tidemark: projection "mailer" is paused: .* at position 1 .*: cannot be mailed/,
      ),
    ],
  ])
})

test('a skip is one warning with the projection and how many; a historical gap is none', async () => {
  const { clock, daemon } = rig()
  const logger = spied()
  const store = new GuessingStore(clock)
  store.show(1n, 3n)
  await daemon([recording('balances')], { source: store.source(), logger }).start()
  await clock.advance(3_000)
  expect(logger.warn).not.toHaveBeenCalled()
  store.show(7n)
  await clock.advance(3_000)
  expect(logger.warn.mock.calls).toEqual([
    [expect.stringContaining('"balances" skipped 3 positions without proof, the first after 3')],
  ])
})

test('telemetry that fails is told once, then only counted', async () => {
  const { clock, events, daemon } = rig()
  const logger = spied()
  const telemetry = {
    batchProcessed: (): never => {
      throw new Error('my own telemetry')
    },
  }
  await daemon([recording('all')], { telemetry, logger }).start()
  for (let i = 0; i < 5; i++) {
    events.append('a', i)
    await clock.advance(1_000)
  }
  expect(logger.warn.mock.calls).toEqual([[expect.stringContaining('my own telemetry')]])
})

test.each([
  [
    'throws',
    () => {
      throw new Error('logger')
    },
  ],
  ['rejects', () => Promise.reject(new Error('logger')) as never],
])('a logger that %s does not reach the work', async (_, log) => {
  const { clock, daemon } = rig()
  const store = new TimedStore(clock)
  store.append()
  const all = recording('all')
  const fail = (): never => {
    throw new Error('boom')
  }
  await startOn(
    clock,
    daemon([all, { name: 'mailer', handle: fail, attempts: 1 }], {
      source: store.source,
      logger: { info: log, warn: log, error: log },
    }),
  )
  await clock.advance(1_000)
  store.failure = new Error('connection refused')
  await clock.advance(10_000)
  store.failure = undefined
  store.append()
  await clock.advance(10_000)
  expect(all.seen).toEqual([1n, 2n])
})
