import { createDaemon, createHighWaterAgent, InvalidOptionError } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { describe, expect, test, vi } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { gate, reading, recording, scripted } from './rig.ts'

/** A store whose first poll is under way until `answer` is called. */
function rig() {
  const clock = new FakeClock()
  const answered = gate()
  let polls = 0
  const source = scripted(async ({ signal }) => {
    polls++
    await Promise.race([
      answered.promise,
      new Promise((_, reject) => signal.addEventListener('abort', reject)),
    ])
    return reading({ head: 1n, settled: 1n, mark: 1n })
  })
  const given = new AbortController()
  const add = vi.spyOn(given.signal, 'addEventListener')
  const remove = vi.spyOn(given.signal, 'removeEventListener')
  return {
    clock,
    source,
    answer: answered.open,
    given,
    polls: () => polls,
    listeners: () => add.mock.calls.length - remove.mock.calls.length,
  }
}

type Rig = ReturnType<typeof rig>

const STARTED = [
  [
    'a daemon',
    ({ source, clock }: Rig) => {
      const checkpoints = inMemoryCheckpoints()
      const daemon = createDaemon({ source, checkpoints, clock, projections: [recording('all')] })
      return Object.assign(daemon, { stateNow: () => daemon.status().highWater.state })
    },
  ],
  [
    'a high-water agent',
    ({ source, clock }: Rig) => {
      const agent = createHighWaterAgent({ source, clock })
      return Object.assign(agent, { stateNow: () => agent.status().state })
    },
  ],
] as const

describe.each(STARTED)('%s', (_, make) => {
  test('that is starting when its signal fires stops, and its start rejects with the reason of the signal', async () => {
    const parts = rig()
    const started = make(parts)
    const start = started.start({ signal: parts.given.signal })
    start.catch(() => {})
    await vi.waitFor(() => expect(parts.polls()).toBe(1))
    parts.given.abort(new Error('the deploy was called off'))
    await expect(parts.clock.run(start)).rejects.toThrow('the deploy was called off')
    expect(started.stateNow()).toBe('stopped')
    expect(parts.clock.sleeping).toBe(0)
    expect(parts.listeners()).toBe(0)
  })

  test('whose signal has fired before asks nothing of the store, and cannot be started again', async () => {
    const parts = rig()
    const started = make(parts)
    parts.given.abort(new Error('too late'))
    const start = started.start({ signal: parts.given.signal })
    await expect(parts.clock.run(start)).rejects.toThrow('too late')
    expect(parts.polls()).toBe(0)
    await expect(started.start()).rejects.toMatchObject({ code: 'TIDEMARK_LIFECYCLE' })
  })

  test('that has started stops when its signal fires', async () => {
    const parts = rig()
    parts.answer()
    const started = make(parts)
    await started.start({ signal: parts.given.signal })
    expect(started.stateNow()).toBe('polling')
    parts.given.abort()
    await parts.clock.until(() => started.stateNow() === 'stopped' && parts.clock.sleeping === 0)
    expect(parts.listeners()).toBe(0)
  })

  test('that is stopped leaves no listener on its signal', async () => {
    const parts = rig()
    parts.answer()
    const started = make(parts)
    await started.start({ signal: parts.given.signal })
    expect(parts.listeners()).toBe(1)
    await parts.clock.run(started.stop())
    expect(parts.listeners()).toBe(0)
  })

  test('that is started a second time is left alone by the signal of that', async () => {
    const parts = rig()
    parts.answer()
    const started = make(parts)
    await started.start()
    await expect(started.start({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'TIDEMARK_LIFECYCLE',
    })
    expect(started.stateNow()).toBe('polling')
    await parts.clock.run(started.stop())
  })

  test('is stopped at the end of the block that has it with await using', async () => {
    const parts = rig()
    parts.answer()
    let kept: { stateNow(): string } | undefined
    const block = async () => {
      await using started = make(parts)
      kept = started
      await started.start()
      expect(started.stateNow()).toBe('polling')
    }
    await parts.clock.run(block())
    expect(kept?.stateNow()).toBe('stopped')
    expect(parts.clock.sleeping).toBe(0)
  })

  test('refuses options of start that it does not know, or that are no signal', async () => {
    const started = make(rig())
    await expect(started.start({ signals: AbortSignal.abort() } as never)).rejects.toThrow(InvalidOptionError)
    await expect(started.start({ signal: 1_000 } as never)).rejects.toThrow('signal: expected an AbortSignal')
  })
})
