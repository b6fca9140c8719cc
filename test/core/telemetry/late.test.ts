import { createHighWaterAgent, type GaugeReading, type Metrics } from '@tidemark/core'
import { afterEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../../support/fake-clock.ts'
import {
  alteredCheckpoints,
  gate,
  reading,
  recording,
  rig,
  scripted,
  stopAll,
  TransientError,
} from '../rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

/** Metrics that only remember who observes. */
function observed() {
  const observers = new Set<() => Iterable<GaugeReading>>()
  const metrics: Metrics = {
    open: () => ({
      add: () => {},
      record: () => {},
      observe: (collect) => {
        observers.add(collect)
        return () => observers.delete(collect)
      },
    }),
  }
  return { metrics, observers, gauges: () => [...observers].flatMap((collect) => [...collect()]) }
}

describe('the gauges of a daemon are withdrawn', () => {
  test('when stop() comes right after start()', async () => {
    const { clock, daemon } = rig()
    const { metrics, observers } = observed()
    const running = daemon([recording('all')], { metrics })
    const start = running.start()
    await Promise.all([start, running.stop()])
    await clock.advance(1_000)
    expect(observers.size).toBe(0)
  })

  test('when stop() comes while start() waits for the checkpoint store', async () => {
    const { clock, checkpoints, daemon } = rig()
    const { metrics, observers } = observed()
    const [begun, preparing] = [gate(), gate()]
    const store = alteredCheckpoints(checkpoints, {
      prepare: async () => {
        begun.open()
        await preparing.promise
      },
    })
    const running = daemon([recording('all')], { metrics, checkpoints: store })
    const start = running.start()
    await begun.promise
    expect(observers.size).toBe(1)
    const stop = running.stop()
    await clock.advance(60_000)
    await stop
    expect(observers.size, 'also when that takes longer than the drain').toBe(0)
    preparing.open()
    await start
    expect(observers.size).toBe(0)
  })

  test('when start() rejects', async () => {
    const { clock, daemon } = rig()
    const { metrics, observers } = observed()
    const source = scripted(() => {
      throw new Error('row security is on')
    })
    const running = daemon([recording('all')], { metrics, source })
    await expect(clock.run(running.start())).rejects.toThrow('row security is on')
    expect(observers.size).toBe(0)
  })
})

describe('a high-water agent alone', () => {
  const agentOn = (source: ReturnType<typeof scripted>) => {
    const clock = new FakeClock()
    const seen = observed()
    return { clock, ...seen, agent: createHighWaterAgent({ source, clock, metrics: seen.metrics }) }
  }

  test('shows the gauges of its store, and withdraws them at stop()', async () => {
    const { clock, agent, observers, gauges } = agentOn(
      scripted(() => reading({ head: 5n, settled: 5n, mark: 4n })),
    )
    await agent.start()
    expect(gauges()).toContainEqual({ gauge: 'high_water_mark', value: 4, labels: { source: 'scripted' } })
    expect(gauges().some(({ gauge }) => gauge.startsWith('projection'))).toBe(false)
    await clock.run(agent.stop())
    expect(observers.size).toBe(0)
  })

  test('withdraws them when stop() comes right after start(), and polls no more', async () => {
    let polls = 0
    const { clock, agent, observers } = agentOn(
      scripted(() => {
        polls++
        return reading()
      }),
    )
    const start = agent.start()
    await clock.run(Promise.all([start, agent.stop()]))
    await clock.advance(5_000)
    expect(observers.size).toBe(0)
    expect(polls).toBe(0)
  })

  test('withdraws them when start() rejects', async () => {
    const { agent, observers } = agentOn(
      scripted(() => {
        throw new Error('row security is on')
      }),
    )
    await expect(agent.start()).rejects.toThrow('row security is on')
    expect(observers.size).toBe(0)
  })

  test('keeps them while the store cannot be reached', async () => {
    const { clock, agent, gauges } = agentOn(
      scripted(() => {
        throw new TransientError('connection refused')
      }),
    )
    await agent.start()
    await clock.advance(10_000)
    expect(gauges()).toEqual([{ gauge: 'high_water_mark_stale', value: 1, labels: { source: 'scripted' } }])
    await clock.run(agent.stop())
  })
})
