import {
  createHighWaterAgent,
  type HighWaterAgent,
  type HighWaterAgentOptions,
  type HighWaterReading,
  IncarnationChangedError,
  LateEventsError,
  StoreRewoundError,
} from '@tidemark/core'
import { ProgressNeededError, type WakeUp, wholeUnit } from '@tidemark/core/adapter'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { never } from '../support/never.ts'
import { altered, alteredCheckpoints, gate, reading, scripted, TransientError } from './rig.ts'

const agents: { readonly agent: HighWaterAgent<bigint>; readonly clock: FakeClock }[] = []

function agentOn(options: HighWaterAgentOptions<bigint>, clock = new FakeClock()) {
  const agent = createHighWaterAgent({ clock, ...options })
  agents.push({ agent, clock })
  return { agent, clock }
}

afterEach(async () => {
  for (const { agent, clock } of agents.splice(0)) {
    await clock.run(agent.stop())
    expect(clock.sleeping, 'timers left behind').toBe(0)
  }
})

/** Reads what `next` holds, whatever it is by then. */
function variable(next: HighWaterReading<bigint> | Error) {
  const box = { next, polls: 0 }
  const source = scripted(() => {
    box.polls++
    if (box.next instanceof Error) throw box.next
    return box.next
  })
  return { box, source }
}

/** A source that tells all, until its wake-ups are ended; polls of it, and what they find. */
function telling() {
  const told: WakeUp<bigint>[] = []
  const state = {
    polls: 0,
    /** What polls were told that they were woken up for. */
    heeded: [] as (bigint | undefined)[],
    next: reading({ head: 1n, settled: 1n, mark: 1n }),
    isOver: false,
    wake: () => {},
  }
  const source = scripted(({ told }) => {
    state.polls++
    state.heeded.push(told)
    return state.next
  })
  const wakeUps = async function* (signal: AbortSignal): AsyncGenerator<WakeUp<bigint>> {
    signal.addEventListener('abort', end)
    for (state.isOver = false; !state.isOver; ) {
      yield* told.splice(0)
      await new Promise<void>((resolve) => {
        state.wake = resolve
      })
    }
  }
  const tell = (handedOut: bigint): void => {
    told.push({ handedOut, tellsAll: true })
    state.wake()
  }
  const end = (): void => {
    state.isOver = true
    state.wake()
  }
  return { source: { ...source, wakeUps }, state, tell, end }
}

describe('the mark', () => {
  test('does not pass an open transaction, though later events are visible', async () => {
    const events = inMemoryEvents<string>()
    events.append('a', '')
    const { agent, clock } = agentOn({ source: events })
    await agent.start()
    const slow = events.begin()
    slow.append('a', '')
    events.append('a', '')
    await clock.advance(60_000)
    expect(agent.mark).toBe(1n)
    expect(agent.status()).toMatchObject({
      head: 3n,
      settled: 1n,
      gaps: [{ from: 2n, to: 2n }],
      holders: [{ transaction: 'memory/2' }],
    })
  })

  test('passes it once it has committed', async () => {
    const events = inMemoryEvents<string>()
    const slow = events.begin()
    slow.append('a', '')
    events.append('a', '')
    const { agent, clock } = agentOn({ source: events })
    await agent.start()
    expect(agent.mark).toBeUndefined()
    slow.commit()
    await clock.settle()
    expect(agent.mark).toBe(2n)
  })

  test('passes it once it has rolled back', async () => {
    const events = inMemoryEvents<string>()
    const slow = events.begin()
    slow.append('a', '')
    events.append('a', '')
    const { agent, clock } = agentOn({ source: events })
    await agent.start()
    slow.rollback()
    await clock.settle()
    expect(agent.mark).toBe(2n)
  })

  test('is undefined before the first event, and there is nothing wrong with that', async () => {
    const { agent } = agentOn({ source: inMemoryEvents() })
    await agent.start()
    expect(agent.mark).toBeUndefined()
    expect(agent.status()).toMatchObject({ state: 'polling', stale: false, error: undefined })
  })

  test('is found by polling alone where the source gives no hints', async () => {
    const events = inMemoryEvents<string>()
    const source = altered(events, {})
    delete source.wakeUps
    const { agent, clock } = agentOn({ source })
    await agent.start()
    await clock.advance(60_000)
    events.append('a', '')
    await clock.advance(1_000)
    expect(agent.mark).toBe(1n)
  })
})

describe('waitFor', () => {
  test('resolves when the position and everything below it is settled, not before', async () => {
    const events = inMemoryEvents<string>()
    const slow = events.begin()
    slow.append('a', '')
    events.append('a', '')
    const { agent, clock } = agentOn({ source: events })
    await agent.start()
    let resolved = false
    const wait = agent.waitFor(2n).then(() => {
      resolved = true
    })
    await clock.advance(60_000)
    expect(resolved).toBe(false)
    slow.rollback()
    await clock.run(wait)
  })

  test('resolves for a number that was rolled back at the tail', async () => {
    const events = inMemoryEvents<string>()
    events.append('a', '')
    const rolledBack = events.begin()
    rolledBack.append('a', '')
    rolledBack.rollback()
    const { agent, clock } = agentOn({ source: events })
    await agent.start()
    await clock.run(agent.waitFor(2n))
    expect(agent.mark).toBe(1n)
  })

  test('rejects with the reason of its signal, leaving no listener on it', async () => {
    const { agent, clock } = agentOn({ source: inMemoryEvents() })
    await agent.start()
    const given = new AbortController()
    const add = vi.spyOn(given.signal, 'addEventListener')
    const remove = vi.spyOn(given.signal, 'removeEventListener')
    const wait = agent.waitFor(5n, { signal: given.signal })
    wait.catch(() => {})
    await clock.advance(10_000)
    given.abort(new Error('enough'))
    await expect(clock.run(wait)).rejects.toThrow('enough')
    expect(add.mock.calls.length).toBeGreaterThan(0)
    expect(remove.mock.calls.length).toBe(add.mock.calls.length)
  })

  test('rejects when the agent is stopped', async () => {
    const { agent, clock } = agentOn({ source: inMemoryEvents() })
    await agent.start()
    const wait = agent.waitFor(5n)
    wait.catch(() => {})
    await clock.run(agent.stop())
    await expect(wait).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_FAILED' })
  })

  test('rejects before start and after stop', async () => {
    const { agent, clock } = agentOn({ source: inMemoryEvents() })
    await expect(agent.waitFor(1n)).rejects.toThrow('idle')
    await agent.start()
    await clock.run(agent.stop())
    await expect(agent.waitFor(1n)).rejects.toThrow('stopped')
  })
})

describe('freshReading', () => {
  test('is of a poll that began after the call: what was appended before it is in its head', async () => {
    const events = inMemoryEvents<string>()
    const slowPoll = gate()
    let polls = 0
    const source = altered(events, {
      readHighWater: async (request) => {
        const seen = await events.readHighWater(request)
        if (++polls === 2) await slowPoll.promise
        return seen
      },
    })
    const { agent, clock } = agentOn({ source })
    await agent.start()
    agent.wake()
    await clock.until(() => polls === 2)
    // The second poll has looked, and does not know of this one.
    events.append('a', '')
    const fresh = agent.freshReading()
    slowPoll.open()
    expect((await clock.run(fresh)).head).toBe(1n)
  })

  test('does not wait for the back-off of an idle store', async () => {
    const { agent, clock } = agentOn({ source: altered(inMemoryEvents(), {}), pollIntervalMs: 60_000 })
    await agent.start()
    await clock.advance(300_000)
    const before = clock.nowMs()
    await clock.run(agent.freshReading())
    expect(clock.nowMs()).toBe(before)
  })
})

describe('a wake-up', () => {
  test('that comes during a poll is not lost', async () => {
    const { box, source } = variable(reading({ head: 1n, settled: 1n, mark: 1n }))
    const slowPoll = gate()
    const slow = altered(source, {
      readHighWater: async (request) => {
        const seen = await source.readHighWater(request)
        if (box.polls === 2) await slowPoll.promise
        return seen
      },
    })
    const { agent, clock } = agentOn({ source: slow, pollIntervalMs: 60_000 })
    await agent.start()
    agent.wake()
    await clock.until(() => box.polls === 2)
    const before = clock.nowMs()
    agent.wake()
    slowPoll.open()
    await clock.until(() => box.polls === 3)
    expect(clock.nowMs()).toBe(before)
  })

  test('by the source brings the next poll forward', async () => {
    const events = inMemoryEvents<string>()
    const { agent, clock } = agentOn({ source: events, pollIntervalMs: 60_000 })
    await agent.start()
    await clock.advance(300_000)
    const before = clock.nowMs()
    events.append('a', '')
    await clock.settle()
    expect(agent.mark).toBe(1n)
    expect(clock.nowMs()).toBe(before)
  })

  test('source that fails, or ends, is listened to again while polling goes on', async () => {
    const events = inMemoryEvents<string>()
    let listened = 0
    const source = altered(events, {
      wakeUps: async function* (signal) {
        listened++
        if (listened === 1) throw new TransientError('LISTEN failed')
        if (listened === 2) return
        yield* events.wakeUps?.(signal) ?? []
      },
    })
    const { agent, clock } = agentOn({ source, pollIntervalMs: 60_000 })
    await agent.start()
    await clock.until(() => listened === 3)
    events.append('a', '')
    await clock.settle()
    expect(agent.mark).toBe(1n)
  })

  test('source that fails again and again is one warning, with back-off, and no failed poll', async () => {
    const events = inMemoryEvents<string>()
    const failures: unknown[] = []
    const warnings: string[] = []
    let listened = 0
    const source = altered(events, {
      // Once it works for a while, then fails again.
      wakeUps: async function* (signal) {
        if (++listened === 20) {
          yield
          await clock.sleep(10_000, signal)
        }
        throw new TransientError('LISTEN failed')
      },
      isTransient: () => true,
    })
    const { agent, clock } = agentOn({
      source,
      telemetry: { pollFailed: ({ error }) => failures.push(error) },
      logger: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} },
    })
    await agent.start()
    await clock.until(() => listened === 10)
    expect(warnings).toEqual([
      'tidemark: wake-ups of in-memory failed and are tried again; polling goes on: LISTEN failed',
    ])
    const before = clock.nowMs()
    await clock.until(() => listened === 11)
    expect(clock.nowMs() - before).toBe(5_000)
    await clock.until(() => listened === 30)
    expect(warnings).toHaveLength(2)
    expect(failures).toEqual([])
    expect(agent.status()).toMatchObject({ state: 'polling', error: undefined })
  })

  test('source that says that there are none is asked again once in five minutes', async () => {
    let listened = 0
    const source = altered(inMemoryEvents<string>(), {
      // biome-ignore lint/correctness/useYield: it is refused before it tells anything
      wakeUps: async function* () {
        listened++
        throw Object.assign(new Error('permission denied'), { code: 'TIDEMARK_WAKE_UPS_UNAVAILABLE' })
      },
    })
    const { agent, clock } = agentOn({ source })
    await agent.start()
    await clock.advance(290_000)
    expect(listened).toBe(1)
    await clock.advance(20_000)
    expect(listened).toBe(2)
  })

  test('source that is refused for a moment is asked again soon, also if it was often refused before', async () => {
    let listened = 0
    let isWorking = false
    const source = altered(inMemoryEvents<string>(), {
      wakeUps: async function* (signal) {
        listened++
        if (!isWorking) throw new Error('unauthenticated')
        yield
        await clock.sleep(60_000, signal)
      },
      isTransient: () => false,
    })
    const { agent, clock } = agentOn({ source })
    await agent.start()
    await clock.advance(120_000)
    const refused = listened
    expect(refused).toBeGreaterThan(20)
    isWorking = true
    await clock.advance(5_000)
    expect(listened).toBe(refused + 1)
  })

  describe('of what the store has handed out', () => {
    const started = async () => {
      const made = telling()
      const { agent, clock } = agentOn({ source: made.source, pollIntervalMs: 60_000 })
      made.tell(1n)
      await agent.start()
      await clock.advance(130_000)
      return {
        ...made,
        agent,
        clock,
        polls: async (work: () => void) => {
          const before = made.state.polls
          work()
          await clock.advance(1_000)
          return made.state.polls - before
        },
      }
    }

    test('brings one poll where it tells of more than polls have seen, and none where it does not', async () => {
      const { polls, tell, state } = await started()
      expect(await polls(() => tell(1n))).toBe(0)
      state.next = reading({ head: 2n, settled: 2n, mark: 2n })
      expect(await polls(() => tell(2n))).toBe(1)
      // As a number that was read while a writer was at it: too high.
      expect(await polls(() => tell(34n))).toBe(1)
    })

    test('tells one poll what it was woken up for', async () => {
      const { polls, tell, state } = await started()
      state.heeded.length = 0
      await polls(() => tell(34n))
      await polls(() => tell(1n))
      state.next = reading({ head: 35n, settled: 1n, mark: 1n })
      await polls(() => tell(35n))
      expect(state.heeded.slice(0, 3)).toEqual([34n, 35n, undefined])
    })

    test('leaves polls as they are while a transaction is open', async () => {
      const { polls, tell, state } = await started()
      state.next = reading({ head: 2n, settled: 1n, mark: 1n })
      expect(await polls(() => tell(2n))).toBeGreaterThan(20)
    })

    test('brings a poll when it ends, and is relied on no longer', async () => {
      const { polls, end, state } = await started()
      state.next = reading({ head: 2n, settled: 2n, mark: 2n })
      expect(await polls(end)).toBeGreaterThan(5)
    })
  })

  test.each([
    ['3 s', 3_000],
    ['20 min', 1_200_000],
  ])('ends the rest after a poll that hung for %s', async (_, hungMs) => {
    const clock = new FakeClock()
    let polls = 0
    const source = scripted(async () => {
      await clock.sleep(++polls === 5 ? hungMs : 1, new AbortController().signal)
      return reading({ head: BigInt(polls), settled: BigInt(polls), mark: BigInt(polls) })
    })
    const { agent } = agentOn({ source, pollTimeShare: 0.02 }, clock)
    await clock.run(agent.start())
    await clock.until(() => agent.mark === 5n)
    const before = clock.nowMs()
    agent.wake()
    await clock.until(() => polls === 6)
    expect(clock.nowMs() - before, 'no more than polls usually cost').toBe(49)
  })

  test('is not needed for long: no rest is longer than the poll interval', async () => {
    const clock = new FakeClock()
    let polls = 0
    const source = scripted(async () => {
      polls++
      await clock.sleep(200, new AbortController().signal)
      return reading({ head: BigInt(polls), settled: BigInt(polls), mark: BigInt(polls) })
    })
    const { agent } = agentOn({ source, pollDelayMs: 0, pollTimeShare: 0.02, pollIntervalMs: 500 }, clock)
    await clock.run(agent.start())
    polls = 0
    await clock.advance(7_000)
    expect(polls).toBe(10)
    expect(agent.status().stale).toBe(false)
  })

  test('finds no rest at all where a poll waited for a connection only', async () => {
    const clock = new FakeClock()
    let polls = 0
    const source = scripted(async ({ waiting }) => {
      polls++
      waiting?.('connection')
      await clock.sleep(400, new AbortController().signal)
      waiting?.('answer')
      return reading({ head: BigInt(polls), settled: BigInt(polls), mark: BigInt(polls) })
    })
    const { agent } = agentOn({ source, pollDelayMs: 0 }, clock)
    await clock.run(agent.start())
    polls = 0
    await clock.advance(4_000)
    expect(polls).toBe(10)
  })

  test('a hundred times a millisecond does not make polls exceed their share of time', async () => {
    const clock = new FakeClock()
    let polls = 0
    const source = scripted(async () => {
      polls++
      await clock.sleep(5, new AbortController().signal)
      return reading({ head: BigInt(polls), settled: BigInt(polls), mark: BigInt(polls) })
    })
    const { agent } = agentOn({ source, pollTimeShare: 0.25 }, clock)
    await clock.run(agent.start())
    polls = 0
    const over = new AbortController()
    const waking = (async () => {
      for (let i = 0; i < 10_000; i++) {
        agent.wake()
        if (i % 100 === 0) await clock.sleep(10, over.signal)
      }
    })()
    await clock.run(waking)
    expect(polls * 5).toBeLessThanOrEqual(1_000 * 0.25 + 5)
    expect(polls * 5).toBeGreaterThan(1_000 * 0.2)
  })
})

describe('polls', () => {
  const POLL_MS = 1

  /** Of a source that tells each number; polls take a millisecond, and see what was told last. */
  const busy = async (options: Partial<HighWaterAgentOptions<bigint>> = {}) => {
    const clock = new FakeClock()
    const { source, tell, state } = telling()
    const begunAtMs: number[] = []
    let settled: bigint | undefined
    let head = 1n
    const slow = altered(source, {
      readHighWater: async () => {
        begunAtMs.push(clock.nowMs())
        await clock.sleep(POLL_MS, never())
        return reading({ head, settled: settled ?? head, mark: settled ?? head })
      },
    })
    const { agent } = agentOn({ source: slow, pollIntervalMs: 60_000, ...options }, clock)
    const append = (): void => {
      head++
      tell(head)
    }
    /** So many events, evenly over a second. */
    const second = async (events: number): Promise<number> => {
      const before = begunAtMs.length
      const appending = async (): Promise<void> => {
        for (let n = 0; n < events; n++) {
          append()
          await clock.sleep(1_000 / events, never())
        }
      }
      await clock.run(appending())
      return begunAtMs.length - before
    }
    tell(head)
    await clock.run(agent.start())
    await clock.advance(1_000)
    return {
      agent,
      clock,
      begunAtMs,
      second,
      append,
      state,
      hold: () => {
        settled = head
      },
      release: () => {
        settled = undefined
      },
    }
  }

  const gapsMs = (begunAtMs: readonly number[]): number[] =>
    begunAtMs.slice(1).map((atMs, index) => Math.round(atMs - (begunAtMs[index] ?? 0)))

  test.each([200, 5_000])(
    'of %i events a second are pollDelayMs apart, from begin to begin',
    async (rate) => {
      const { second, begunAtMs } = await busy()
      await second(rate)
      const from = begunAtMs.length
      const polls = await second(rate)
      expect(polls).toBeGreaterThanOrEqual(39)
      expect(polls).toBeLessThanOrEqual(41)
      expect(new Set(gapsMs(begunAtMs.slice(from)))).toEqual(new Set([25]))
    },
  )

  test('after the last event are none until the next one, which is polled for at once', async () => {
    const { second, append, clock, begunAtMs } = await busy()
    await second(200)
    await clock.advance(25)
    const polls = begunAtMs.length
    await clock.advance(30_000)
    expect(begunAtMs).toHaveLength(polls)
    append()
    await clock.settle()
    expect(begunAtMs.slice(polls)).toEqual([clock.nowMs()])
  })

  test('follow quickly on an event after a quiet spell whose transaction commits a little later', async () => {
    const { hold, release, append, clock, agent } = await busy()
    hold()
    append()
    await clock.advance(6)
    release()
    await clock.advance(6)
    expect(agent.mark).toBe(agent.reading?.head)
  })

  test('are pollDelayMs apart beside an old transaction too, however much is appended behind it', async () => {
    const { hold, second, agent } = await busy()
    hold()
    await second(200)
    expect(await second(200)).toBeLessThanOrEqual(41)
    expect(agent.status()).toMatchObject({ settled: 1n })
  })

  test('are as many as pollTimeShare allows where pollDelayMs is 0', async () => {
    const { second } = await busy({ pollDelayMs: 0, pollTimeShare: 0.1 })
    await second(1_000)
    const polls = await second(1_000)
    expect(polls).toBeGreaterThanOrEqual(99)
    expect(polls).toBeLessThanOrEqual(101)
  })

  test('that take long are apart by what pollTimeShare asks for, where that is longer', async () => {
    const { second } = await busy({ pollTimeShare: 0.02 })
    await second(1_000)
    expect(await second(1_000)).toBe(20)
  })

  test('without wake-ups follow each other by pollDelayMs while something moves', async () => {
    const clock = new FakeClock()
    let polls = 0
    const source = scripted(() => {
      polls++
      return reading({ head: BigInt(polls), settled: BigInt(polls), mark: BigInt(polls) })
    })
    const { agent } = agentOn({ source, pollDelayMs: 100 }, clock)
    await agent.start()
    await clock.advance(1_000)
    polls = 0
    await clock.advance(10_000)
    expect(polls).toBe(100)
  })

  describe('that somebody waits for', () => {
    const DELAY_MS = 50_000
    /** Nothing but somebody who waits brings another poll. */
    const apart = async () => {
      const all = await busy({ pollDelayMs: DELAY_MS })
      await all.second(200)
      all.append()
      await all.clock.advance(1_000)
      const polls = all.begunAtMs.length
      expect(all.agent.mark).not.toBe(201n)
      return { ...all, polls }
    }

    test('come within pollTimeShare, and the next one keeps apart again', async () => {
      const { agent, append, clock, begunAtMs, polls } = await apart()
      const beforeMs = clock.nowMs()
      const { head } = await clock.run(agent.freshReading())
      expect(clock.nowMs() - beforeMs).toBe(POLL_MS)
      await clock.run(agent.waitFor(head ?? 0n))
      expect(begunAtMs.length - polls, 'what is settled is not polled for').toBe(1)
      append()
      await clock.advance(DELAY_MS - 2 * POLL_MS)
      expect(begunAtMs.length - polls).toBe(1)
      await clock.advance(2 * POLL_MS)
      expect(begunAtMs.length - polls).toBe(2)
    })

    test('come until what is waited for is settled', async () => {
      const { agent, hold, release, clock } = await apart()
      hold()
      const wait = agent.waitFor(202n)
      await clock.advance(300)
      release()
      const beforeMs = clock.nowMs()
      await clock.run(wait)
      expect(clock.nowMs() - beforeMs).toBeLessThanOrEqual(60)
    })
  })
})

describe('an idle agent', () => {
  test('polls once in pollIntervalMs', async () => {
    const { box, source } = variable(reading({ head: 4n, settled: 4n, mark: 4n }))
    const { agent, clock } = agentOn({ source, pollIntervalMs: 500 })
    await agent.start()
    await clock.advance(10_000)
    box.polls = 0
    await clock.advance(10_000)
    expect(box.polls).toBe(20)
  })

  test('polls 20 times a second while something is open', async () => {
    const { box, source } = variable(
      reading({ head: 4n, settled: 3n, mark: 3n, gaps: [{ from: 4n, to: 4n }] }),
    )
    const { agent, clock } = agentOn({ source })
    await agent.start()
    await clock.advance(10_000)
    box.polls = 0
    await clock.advance(10_000)
    expect(box.polls).toBe(200)
  })
})

describe('start', () => {
  test('rejects when called twice, and after stop', async () => {
    const { agent, clock } = agentOn({ source: inMemoryEvents() })
    await agent.start()
    await expect(agent.start()).rejects.toMatchObject({ code: 'TIDEMARK_LIFECYCLE' })
    await clock.run(agent.stop())
    await expect(agent.start()).rejects.toMatchObject({ code: 'TIDEMARK_LIFECYCLE' })
  })

  test('rejects with the condition that is violated', async () => {
    const { source } = variable(new Error('row security hides events'))
    const { agent, clock } = agentOn({ source })
    await expect(agent.start()).rejects.toThrow('row security hides events')
    expect(agent.status().state).toBe('stopped')
    expect(clock.sleeping).toBe(0)
  })

  test('resolves while the store cannot be reached, says so, and goes on trying', async () => {
    const { box, source } = variable(new TransientError('connection refused'))
    const { agent, clock } = agentOn({ source })
    await agent.start()
    expect(agent.status()).toMatchObject({ state: 'failing', error: { message: 'connection refused' } })
    box.next = reading({ head: 7n, settled: 7n, mark: 7n })
    await clock.run(agent.waitFor(7n))
    expect(agent.status()).toMatchObject({ state: 'polling', error: undefined, mark: 7n })
  })
})

describe('a failing poll', () => {
  test('is tried again with waits that grow to 5 s, keeps the mark, and recovers', async () => {
    const { box, source } = variable(reading({ head: 3n, settled: 3n, mark: 3n }))
    const { agent, clock } = agentOn({ source })
    await agent.start()
    box.next = new TransientError('connection reset')
    await clock.advance(60_000)
    expect(agent.status()).toMatchObject({ state: 'failing', mark: 3n })
    box.polls = 0
    await clock.advance(50_000)
    expect(box.polls).toBe(10)
    box.next = reading({ head: 4n, settled: 4n, mark: 4n })
    await clock.advance(5_000)
    expect(agent.status()).toMatchObject({ state: 'polling', mark: 4n, error: undefined })
  })

  test('after start is retried also when it is a violated condition, which the operator may repair', async () => {
    const { box, source } = variable(reading({ head: 3n, settled: 3n, mark: 3n }))
    const { agent, clock } = agentOn({ source })
    await agent.start()
    box.next = new Error('the sequence has cache 20')
    await clock.advance(10_000)
    expect(agent.status()).toMatchObject({
      state: 'failing',
      error: { message: 'the sequence has cache 20' },
    })
    box.next = reading({ head: 4n, settled: 4n, mark: 4n })
    await clock.advance(5_000)
    expect(agent.mark).toBe(4n)
  })

  test('does not reject waits: the store may come back', async () => {
    const { box, source } = variable(new TransientError('down'))
    const { agent, clock } = agentOn({ source })
    await agent.start()
    const wait = agent.waitFor(1n)
    await clock.advance(600_000)
    box.next = reading({ head: 1n, settled: 1n, mark: 1n })
    await clock.run(wait)
  })
})

describe('a store that stands behind what was processed', () => {
  test('halts polling, rejects waits and leaves the decision to the operator', async () => {
    const { box, source } = variable(reading({ head: 9n, settled: 9n, mark: 9n }))
    const { agent, clock } = agentOn({ source })
    await agent.start()
    const wait = agent.waitFor(12n)
    wait.catch(() => {})
    box.next = new StoreRewoundError('the sequence stands at 4, behind checkpoint 9')
    await clock.advance(10_000)
    await expect(wait).rejects.toThrow('the sequence stands at 4')
    expect(agent.status().state).toBe('halted')
    box.polls = 0
    await clock.advance(60_000)
    expect(box.polls).toBe(0)
  })

  test('where events became visible that the mark had passed, nobody is told to read on up to that mark', async () => {
    const { box, source } = variable(reading({ head: 9n, settled: 9n, mark: 9n }))
    const { agent, clock } = agentOn({ source })
    await agent.start()
    expect(agent.mark).toBe(9n)
    box.next = new LateEventsError('events', [{ position: '7', type: 'Paid' }], [], 'Read the manual.')
    await clock.until(() => agent.status().state === 'halted')
    expect(agent.mark).toBeUndefined()
    await expect(agent.waitFor(5n)).rejects.toThrow('at 7 (Paid)')
  })

  test('does not let the process end as if its work was done', async () => {
    const { box, source } = variable(reading())
    const { agent, clock } = agentOn({ source })
    await agent.start()
    box.next = new StoreRewoundError('rewound')
    await clock.until(() => agent.status().state === 'halted')
    expect(clock.sleeping).toBeGreaterThan(0)
  })
})

describe('a change of incarnation', () => {
  test('drops what was learned and reads the stored progress again', async () => {
    const checkpoints = inMemoryCheckpoints()
    await checkpoints.settled?.save(
      'scripted',
      { incarnation: 'second', settled: '30', logPosition: '0/3' },
      never(),
    )
    const requests: { previous: string | undefined; stored: unknown }[] = []
    let incarnation = 'first'
    const source = scripted(async ({ previous, stored }) => {
      requests.push({
        previous: previous?.incarnation,
        stored: stored?.map(({ settled }) => settled),
      })
      if (previous && previous.incarnation !== incarnation)
        throw new IncarnationChangedError(previous.incarnation, incarnation)
      return reading({ head: 40n, settled: 35n, mark: 35n, incarnation })
    })
    const { agent, clock } = agentOn({ source, checkpoints })
    await agent.start()
    await clock.settle()
    requests.length = 0
    incarnation = 'second'
    await clock.until(() => agent.reading?.incarnation === 'second')
    expect(requests.slice(-2)).toEqual([
      { previous: 'first', stored: undefined },
      { previous: undefined, stored: [35n] },
    ])
  })

  test('is not a failure', async () => {
    let incarnation = 'first'
    const failures: unknown[] = []
    const source = scripted(({ previous }) => {
      if (previous && previous.incarnation !== incarnation)
        throw new IncarnationChangedError(previous.incarnation, incarnation)
      return reading({ incarnation })
    })
    const telemetry = { pollFailed: ({ error }: { error: unknown }) => failures.push(error) }
    const { agent, clock } = agentOn({ source, telemetry })
    await agent.start()
    incarnation = 'second'
    await clock.advance(2_000)
    expect(agent.status()).toMatchObject({ state: 'polling', error: undefined })
    expect(failures).toEqual([])
  })

  test('leaves no mark behind while the store cannot be read again', async () => {
    let polls = 0
    const source = scripted(({ previous }) => {
      polls++
      if (polls === 1) return reading({ head: 9n, settled: 9n, mark: 9n })
      if (previous) throw new IncarnationChangedError('first', 'second')
      throw new TransientError('in recovery')
    })
    const { agent, clock } = agentOn({ source })
    await agent.start()
    await clock.advance(1_000)
    expect(agent.mark).toBeUndefined()
    expect(agent.status()).toMatchObject({ state: 'failing', error: { message: 'in recovery' } })
  })

  test('stores settled anew, though its number is the same', async () => {
    const saved: string[] = []
    const checkpoints = alteredCheckpoints(inMemoryCheckpoints(), {
      settled: {
        save: async (_, { incarnation, settled }) => {
          saved.push(`${settled} of ${incarnation}`)
        },
      },
    })
    let incarnation = 'first'
    const source = scripted(({ previous }) => {
      if (previous && previous.incarnation !== incarnation)
        throw new IncarnationChangedError(previous.incarnation, incarnation)
      return reading({ head: 9n, settled: 9n, mark: 9n, incarnation })
    })
    const { agent, clock } = agentOn({ source, checkpoints })
    await agent.start()
    await clock.advance(5_000)
    incarnation = 'second'
    await clock.advance(5_000)
    expect(saved).toEqual(['9 of first', '9 of second'])
  })
})

describe('settled', () => {
  test('is saved at most once a second, and to the last', async () => {
    const saves: { settled: string | undefined; atMs: number }[] = []
    const { box, source } = variable(reading())
    const clock = new FakeClock()
    const checkpoints = alteredCheckpoints(inMemoryCheckpoints(), {
      settled: {
        save: async (_, { settled }) => {
          saves.push({ settled, atMs: clock.nowMs() })
        },
      },
    })
    const { agent } = agentOn({ source, checkpoints, pollIntervalMs: 50 }, clock)
    await agent.start()
    for (let n = 1n; n <= 100n; n++) {
      box.next = reading({ head: n, settled: n })
      await clock.advance(50)
    }
    await clock.advance(2_000)
    expect(saves.at(-1)?.settled).toBe('100')
    expect(saves.length).toBeGreaterThan(4)
    for (const [index, save] of saves.entries()) {
      if (index > 0) expect(save.atMs - (saves[index - 1]?.atMs ?? 0)).toBeGreaterThanOrEqual(1_000)
    }
    const saved = saves.length
    await clock.advance(60_000)
    expect(saves.length).toBe(saved)
  })

  test('that could not be saved is saved once it can be', async () => {
    const { source } = variable(reading({ head: 9n, settled: 9n, mark: 9n }))
    let isDown = true
    const saved: unknown[] = []
    const checkpoints = alteredCheckpoints(inMemoryCheckpoints(), {
      settled: {
        save: async (_, { settled }) => {
          if (isDown) throw new TransientError('checkpoints are down')
          saved.push(settled)
        },
      },
    })
    const { agent, clock } = agentOn({ source, checkpoints })
    await agent.start()
    await clock.advance(1_000)
    expect(agent.status()).toMatchObject({ state: 'failing', mark: 9n })
    isDown = false
    await clock.advance(10_000)
    expect(saved).toEqual(['9'])
    expect(agent.status().state).toBe('polling')
  })

  test('read back lets a restart go on behind an open transaction', async () => {
    const events = inMemoryEvents<string>()
    const checkpoints = inMemoryCheckpoints()
    events.append('a', '')
    events.append('a', '')
    const first = agentOn({ source: events, checkpoints })
    await first.agent.start()
    const holder = events.begin()
    holder.append('a', '')
    await first.clock.run(first.agent.stop())

    const second = agentOn({ source: events, checkpoints })
    await second.agent.start()
    expect(second.agent.mark).toBe(2n)
    const unaided = agentOn({ source: events })
    await unaided.agent.start()
    expect(unaided.agent.mark).toBeUndefined()
  })
})

describe('skipped runs', () => {
  test('are recorded before the mark that passed them is published', async () => {
    const recording = gate()
    const skipped = [{ stored: 4n, current: 7n, count: 2n }]
    const recorded: unknown[] = []
    const { source } = variable(reading({ head: 7n, settled: 7n, mark: 7n, skipped }))
    const checkpoints = alteredCheckpoints(inMemoryCheckpoints(), {
      skips: {
        record: async (_, runs) => {
          recorded.push(...runs)
          await recording.promise
        },
        list: async () => [],
      },
    })
    const { agent } = agentOn({ source, checkpoints })
    const started = agent.start()
    await vi.waitFor(() => expect(recorded).toEqual([{ stored: '4', current: '7', count: 2n }]))
    expect(agent.mark).toBeUndefined()
    recording.open()
    await started
    expect(agent.mark).toBe(7n)
  })
})

describe('stale', () => {
  test('is not what an idle store with a rolled-back tail is', async () => {
    const events = inMemoryEvents<string>()
    events.append('a', '')
    const rolledBack = events.begin()
    rolledBack.append('a', '')
    rolledBack.rollback()
    const { agent, clock } = agentOn({ source: events })
    await agent.start()
    await clock.advance(3_600_000)
    expect(agent.status()).toMatchObject({ head: 2n, settled: 2n, mark: 1n, stale: false })
  })

  test('is a store whose transaction stays open for longer than the threshold, and only until it ends', async () => {
    const events = inMemoryEvents<string>()
    events.append('a', '')
    const { agent, clock } = agentOn({ source: events, staleAfterMs: 3_000 })
    await agent.start()
    await clock.advance(60_000)
    const slow = events.begin()
    slow.append('a', '')
    events.append('a', '')
    await clock.advance(2_900)
    expect(agent.status().stale).toBe(false)
    await clock.advance(1_200)
    expect(agent.status().stale).toBe(true)
    slow.commit()
    await clock.settle()
    expect(agent.status().stale).toBe(false)
  })

  test('is a store whose settled crawls on below an old gap', async () => {
    const events = inMemoryEvents<string>()
    const { agent, clock } = agentOn({ source: events, staleAfterMs: 3_000 })
    await agent.start()
    const slow = [events.begin(), events.begin(), events.begin(), events.begin()]
    for (const transaction of slow) {
      transaction.append('a', '')
      await clock.settle()
      agent.wake()
      await clock.settle()
    }
    for (const transaction of slow.slice(0, 3)) {
      await clock.advance(1_500)
      transaction.commit()
      await clock.settle()
    }
    expect(agent.status()).toMatchObject({ settled: 3n, head: 4n, stale: true })
  })

  test('is not a store under steady load, where something is always open but nothing for long', async () => {
    const events = inMemoryEvents<string>()
    const { agent, clock } = agentOn({ source: events, staleAfterMs: 3_000 })
    await agent.start()
    let open = events.begin()
    open.append('a', '')
    for (let turn = 0; turn < 80; turn++) {
      const next = events.begin()
      next.append('a', '')
      await clock.advance(100)
      open.commit()
      open = next
      await clock.settle()
      expect(agent.status()).toMatchObject({ stale: false })
    }
    expect(agent.status().head).toBeGreaterThan(agent.status().settled ?? 0n)
  })

  test('is a store that polls have not reached for longer than the threshold', async () => {
    const { box, source } = variable(reading({ head: 1n, settled: 1n, mark: 1n }))
    const { agent, clock } = agentOn({ source, staleAfterMs: 3_000 })
    await agent.start()
    box.next = new TransientError('down')
    await clock.advance(2_500)
    expect(agent.status().stale).toBe(false)
    await clock.advance(2_000)
    expect(agent.status().stale).toBe(true)
  })

  test('is not an idle store that is polled less often than the threshold', async () => {
    const events = inMemoryEvents<string>()
    events.append('a', '')
    const source = altered(events, {})
    delete source.wakeUps
    const { agent, clock } = agentOn({ source, pollIntervalMs: 60_000, staleAfterMs: 3_000 })
    await agent.start()
    await clock.advance(200_000)
    expect(agent.status().stale).toBe(false)
    const open = events.begin()
    open.append('a', '')
    await clock.until(() => agent.status().head === 2n)
    expect(agent.status().stale).toBe(false)
    await clock.advance(3_100)
    expect(agent.status().stale).toBe(true)
  })

  test('is a store whose poll hangs', async () => {
    let polls = 0
    const source = scripted(({ signal }) => {
      if (++polls < 3) return reading()
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const { agent, clock } = agentOn({ source, staleAfterMs: 3_000 })
    await agent.start()
    await clock.until(() => polls === 3)
    await clock.advance(3_100)
    expect(agent.status().stale).toBe(true)
  })

  test('is a store that was never reached', async () => {
    const { agent, clock } = agentOn({ source: variable(new TransientError('down')).source })
    await agent.start()
    expect(agent.status().stale).toBe(false)
    await clock.advance(4_000)
    expect(agent.status().stale).toBe(true)
  })
})

describe('stop', () => {
  test('may be called twice, and before start', async () => {
    const { agent, clock } = agentOn({ source: inMemoryEvents() })
    await clock.run(agent.stop())
    await clock.run(Promise.all([agent.stop(), agent.stop()]))
    expect(agent.status().state).toBe('stopped')
    const started = agentOn({ source: inMemoryEvents() })
    await started.agent.start()
    await started.clock.run(Promise.all([started.agent.stop(), started.agent.stop()]))
    expect(started.agent.status().state).toBe('stopped')
  })

  test('during start leaves the agent stopped: no wait hangs', async () => {
    const slowPoll = gate()
    const source = scripted(async () => {
      await slowPoll.promise
      return reading({ head: 1n, settled: 1n, mark: 1n })
    })
    const { agent, clock } = agentOn({ source })
    const start = agent.start()
    const wait = agent.waitFor(9n)
    wait.catch(() => {})
    const stop = agent.stop()
    slowPoll.open()
    await clock.run(Promise.all([start, stop]))
    await expect(wait).rejects.toThrow('stopped')
    expect(agent.status().state).toBe('stopped')
    expect(clock.sleeping).toBe(0)
  })

  test('aborts a running poll', async () => {
    const source = scripted(
      ({ signal, previous }) =>
        new Promise((resolve, reject) => {
          if (!previous) return resolve(reading())
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
    )
    const failures: unknown[] = []
    const telemetry = { pollFailed: ({ error }: { error: unknown }) => failures.push(error) }
    const { agent, clock } = agentOn({ source, telemetry })
    await agent.start()
    await clock.settle()
    const before = clock.nowMs()
    await clock.run(agent.stop())
    expect(clock.nowMs()).toBe(before)
    expect(failures).toEqual([])
  })

  test('does not hang on a source that does not heed its signal, and ignores what that still says', async () => {
    const hung = gate()
    let polls = 0
    const source = scripted(async () => {
      if (++polls > 1) await hung.promise
      return reading({ head: BigInt(polls), settled: BigInt(polls), mark: BigInt(polls) })
    })
    const { agent, clock } = agentOn({ source })
    await agent.start()
    await clock.settle()
    await clock.run(agent.stop())
    hung.open()
    await clock.settle()
    expect(agent.status()).toMatchObject({ state: 'stopped', mark: 1n })
  })

  test('leaves no timer on the system clock', async () => {
    const before = process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
    const agent = createHighWaterAgent({ source: inMemoryEvents() })
    await agent.start()
    await agent.freshReading()
    await agent.stop()
    expect(
      process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length,
    ).toBeLessThanOrEqual(before)
  })
})

test('telemetry that throws at every call does not disturb polling', async () => {
  const events = inMemoryEvents<string>()
  const onTelemetryError = vi.fn()
  const fail = (): never => {
    throw new Error('exporter')
  }
  const telemetry = { polled: fail, pollFailed: fail }
  const { agent, clock } = agentOn({ source: events, telemetry, onTelemetryError })
  await agent.start()
  events.append('a', '')
  await clock.settle()
  expect(agent.mark).toBe(1n)
  expect(agent.status().state).toBe('polling')
  expect(onTelemetryError).toHaveBeenCalled()
})

test('progress is read between the opening of the source and its first poll; if it cannot be read, there is no poll', async () => {
  const steps: string[] = []
  let isDown = true
  const checkpoints = alteredCheckpoints(inMemoryCheckpoints(), {
    progress: async () => {
      steps.push('progress')
      if (isDown) throw new TransientError('checkpoints are down')
      return []
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const polled = scripted(() => {
    steps.push('poll')
    return reading({ head: 1n, settled: 1n, mark: 1n })
  })
  const source = altered(polled, {
    open: async (request) => {
      steps.push('open')
      return await polled.open(request)
    },
  })
  const { agent, clock } = agentOn({ source, checkpoints })
  await agent.start()
  expect(steps).toEqual(['open', 'progress'])
  expect(agent.status()).toMatchObject({ state: 'failing', error: { message: 'checkpoints are down' } })
  isDown = false
  await clock.until(() => agent.mark === 1n)
  const last = steps.lastIndexOf('open')
  expect(steps.slice(last, last + 3)).toEqual(['open', 'progress', 'poll'])
})

test('a poll that needs the stored progress is given it, and polls again', async () => {
  const asked: unknown[] = []
  const checkpoints = inMemoryCheckpoints()
  await checkpoints.open(wholeUnit('all'), { source: 'scripted', head: undefined }, never())
  const source = scripted(({ previous, stored }) => {
    asked.push(stored?.flatMap(({ unit }) => unit?.projection ?? []))
    if (previous && stored === undefined && asked.length === 2) throw new ProgressNeededError()
    return reading({ head: 1n, settled: 1n, mark: 1n })
  })
  const { agent, clock } = agentOn({ source, checkpoints })
  await agent.start()
  await clock.until(() => asked.length > 3)
  expect(asked.slice(0, 4)).toEqual([['all'], undefined, ['all'], undefined])
  expect(agent.status().state).toBe('polling')
})

test('whether the checkpoints share the events log is asked once an incarnation', async () => {
  const asked: string[] = []
  const checkpoints = alteredCheckpoints(inMemoryCheckpoints(), {
    sharesLogWith: async (incarnation) => {
      asked.push(incarnation)
      return false
    },
  })
  let incarnation = 'first'
  const source = scripted(
    async ({ previous, sharesLog }) => {
      if (previous && previous.incarnation !== incarnation)
        throw new IncarnationChangedError(previous.incarnation, incarnation)
      expect(sharesLog).toBe(false)
      return reading({ incarnation })
    },
    () => incarnation,
  )
  const { agent, clock } = agentOn({ source, checkpoints })
  await agent.start()
  await clock.advance(10_000)
  incarnation = 'second'
  await clock.advance(10_000)
  expect(asked).toEqual(['first', 'second'])
})
