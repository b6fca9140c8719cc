import { HEALTH_DEFAULTS, MARK_HEALTH, PROJECTION_HEALTH, PROJECTION_STATES } from '@tidemark/core'
import { ALL_SLOTS, denseOrder } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorName } from '../../packages/core/src/health/error-name.ts'
import { type DaemonFacts, judge } from '../../packages/core/src/health/judge.ts'
import type { ProjectionFacts } from '../../packages/core/src/health/judge-projection.ts'
import { lostLoop } from '../../packages/core/src/health/signs-of-life.ts'
import type { Pulse } from '../../packages/core/src/kernel/pulse.ts'

const MINUTE = 60_000
const NOW = 100 * MINUTE

describe('a loop is lost', () => {
  const pulse = (waitsFor: Pulse['waitsFor'], agoMs: number, dueAgoMs?: number): Pulse => ({
    waitsFor,
    sinceMs: NOW - agoMs,
    dueMs: dueAgoMs === undefined ? undefined : NOW - dueAgoMs,
  })

  test.each<[string, Pulse, number | undefined, RegExp | undefined]>([
    ['while a call of a store takes 4 minutes: not', pulse('answer', 4 * MINUTE), undefined, undefined],
    [
      'whose call has no answer for 5',
      pulse('answer', 5 * MINUTE),
      undefined,
      /neither an answer nor an error for 300.0 s/,
    ],
    ['that rests until a time to come: not', pulse('timer', 90 * MINUTE, -MINUTE), undefined, undefined],
    ['whose timer is 4 minutes late: not', pulse('timer', 9 * MINUTE, 4 * MINUTE), undefined, undefined],
    ['whose timer is 5 minutes late', pulse('timer', 9 * MINUTE, 5 * MINUTE), undefined, /due 300.0 s ago/],
    ['that has nothing to do for an hour: not', pulse('events', 60 * MINUTE), undefined, undefined],
    ['that notices events late: not yet', pulse('events', 60 * MINUTE), NOW - 4 * MINUTE, undefined],
    [
      'that does not notice events',
      pulse('events', 60 * MINUTE),
      NOW - 5 * MINUTE,
      /not noticed for 300.0 s/,
    ],
    ['that looks at events of another owner: not', pulse('events', 200), NOW - 60 * MINUTE, undefined],
    ['whose handler takes hours: not', pulse('handler', 90 * MINUTE), NOW - 90 * MINUTE, undefined],
    ['that is not meant to run: not', pulse('nothing', 90 * MINUTE), NOW - 90 * MINUTE, undefined],
  ])('%s', (_, of, waitingSinceMs, expected) => {
    const why = lostLoop(of, NOW, waitingSinceMs)
    if (expected === undefined) expect(why).toBeUndefined()
    else expect(why).toMatch(expected)
  })
})

const ago = fc.integer({ min: 0, max: 30 * MINUTE }).map((ms) => NOW - ms)
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const pulses: fc.Arbitrary<Pulse> = fc.record({
  waitsFor: fc.constantFrom<Pulse['waitsFor'][]>('answer', 'handler', 'timer', 'events', 'nothing'),
  sinceMs: ago,
  dueMs: maybe(ago),
})
const projections: fc.Arbitrary<ProjectionFacts<bigint>> = fc.record({
  movedAtMs: ago,
  waitingSinceMs: maybe(ago),
  pulse: pulses,
  status: fc.record({
    name: fc.constantFrom('all', 'other'),
    version: fc.constantFrom(1, 2),
    slots: fc.constant(ALL_SLOTS),
    role: fc.constantFrom(undefined, 'live', 'beside', 'retired'),
    state: fc.constantFrom(...PROJECTION_STATES),
    lease: fc.constantFrom(
      undefined,
      { node: undefined, isHere: false },
      { node: 'a', isHere: true },
      { node: 'b', isHere: false },
    ),
    dealtTo: fc.constantFrom(
      undefined,
      undefined,
      { index: 1, of: 3, isHere: true },
      { index: 1, of: 3, isHere: false },
    ),
    position: maybe(fc.bigInt({ min: 1n, max: 9n })),
    lagPositions: fc.constant(undefined),
    lagMs: maybe(fc.integer({ min: 0, max: 30 * MINUTE })),
    replay: maybe(fc.constant({ target: 9n, eventsPerSecond: 10, secondsLeft: undefined })),
    handledEvents: fc.nat(),
    skipped: fc.constantFrom(undefined, {}),
    asked: fc.constant(undefined),
    pausedBy: fc.constantFrom(undefined, undefined, {
      who: 'ada',
      why: 'a migration',
      sinceMs: NOW - 60 * MINUTE,
    }),
    error: fc.constant(new Error('secret')),
    failure: maybe(
      fc.record({
        stage: fc.constantFrom('read' as const, 'map' as const, 'handle' as const, 'commit' as const),
        batch: fc.constant(undefined),
        attempt: fc.nat(9),
        attempts: fc.constant(5),
        inARow: fc.nat(9),
        sinceMs: ago,
        pausedSinceMs: maybe(ago),
        nextTryAtMs: maybe(ago),
        whatToDo: fc.constant('mend it'),
      }),
    ),
  }),
})
const facts: fc.Arbitrary<DaemonFacts<bigint>> = fc.record({
  source: fc.constant('events'),
  order: fc.constant(denseOrder),
  staleAfterMs: fc.constant(3_000),
  nowMs: fc.constant(NOW),
  life: fc.constantFrom('new' as const, 'starting' as const, 'started' as const, 'stopped' as const),
  refused: fc.constantFrom(undefined, { error: new Error('secret') }),
  pulse: pulses,
  projections: fc.uniqueArray(projections, {
    minLength: 1,
    maxLength: 3,
    selector: ({ status: { name, version } }) => `${name} ${version}`,
  }),
  highWater: fc.record({
    state: fc.constantFrom(
      'idle' as const,
      'polling' as const,
      'failing' as const,
      'halted' as const,
      'stopped' as const,
    ),
    head: maybe(fc.bigInt({ min: 1n, max: 9n })),
    settled: maybe(fc.bigInt({ min: 1n, max: 9n })),
    mark: maybe(fc.bigInt({ min: 1n, max: 9n })),
    markFirstSeenMs: maybe(ago),
    stale: fc.boolean(),
    gaps: fc.constantFrom(
      [],
      [{ from: 2n, to: 3n, firstSeenMs: NOW - 5_000, holders: [], openForMs: 5_000 }],
    ),
    holders: fc.constantFrom(
      [],
      [{ transaction: '7/42', pid: 4711, applicationName: 'billing', startedAt: new Date(0) }],
    ),
    eventsHeldSinceMs: maybe(ago),
    lastPollAtMs: maybe(ago),
    isCurrent: fc.boolean(),
    unanswered: maybe(
      fc.record({ forMs: fc.integer({ min: 3_000, max: 30 * MINUTE }), waitsFor: fc.constant(undefined) }),
    ),
    error: fc.constantFrom(undefined, new Error('secret')),
  }),
})

describe('whatever is known of a daemon,', () => {
  const holds = (check: (of: DaemonFacts<bigint>, health: ReturnType<typeof judge>) => void) =>
    fc.assert(
      fc.property(facts, (of) => check(of, judge(of, HEALTH_DEFAULTS))),
      { numRuns: 2_000 },
    )

  test('each verdict is of the documented set, has its reason, and tells no message of an error', () => {
    holds((_, health) => {
      expect(MARK_HEALTH).toContain(health.mark.status)
      expect(health.mark.why).not.toBe('')
      for (const { status, why } of health.projections) {
        expect(PROJECTION_HEALTH).toContain(status)
        expect(why).not.toBe('')
      }
      expect(JSON.stringify(health)).not.toContain('secret')
    })
  })

  test('what is not live is not ready, and there is a reason exactly where one of the two is not given', () => {
    holds((_, { live, ready, reasons }) => {
      expect(ready && !live).toBe(false)
      expect(reasons.length > 0).toBe(!(live && ready))
    })
  })

  test('live depends on signs of life alone: not on failures, pauses, lag, or what polls say', () => {
    holds((of, { live }) => {
      const isLost = [lostLoop(of.pulse, NOW)]
        .concat(
          of.projections
            .filter(({ status, pulse }) => status.pausedBy === undefined || pulse.waitsFor !== 'timer')
            .map(({ pulse, waitingSinceMs }) => lostLoop(pulse, NOW, waitingSinceMs)),
        )
        .some((why) => why !== undefined)
      expect(live).toBe(of.refused === undefined && !(of.life === 'started' && isLost))
    })
  })

  test('a projection that waits for nothing, and fails at nothing, is never stalled', () => {
    holds((of, health) => {
      of.projections.forEach(({ status, waitingSinceMs }, index) => {
        if (waitingSinceMs !== undefined || status.state === 'retrying') return
        expect(health.projections[index]?.status).not.toBe('stalled')
      })
    })
  })

  test('a projection whose checkpoint has moved within stalledAfterMs is never stalled', () => {
    holds((of, health) => {
      of.projections.forEach(({ movedAtMs }, index) => {
        if (NOW - movedAtMs >= HEALTH_DEFAULTS.stalledAfterMs) return
        expect(health.projections[index]?.status).not.toBe('stalled')
      })
    })
  })

  test('a projection that an operator has paused is paused, says by whom and why, and makes nothing unready', () => {
    holds((of, health) => {
      of.projections.forEach(({ status: { state, pausedBy } }, index) => {
        if (pausedBy === undefined || state === 'stopped') return
        const { status, why } = health.projections[index] ?? {}
        expect(status).toBe('paused')
        expect(why).toBe('ada has paused it: a migration')
        expect(health.reasons.join()).not.toContain('a migration')
      })
    })
  })

  test('a version that is not live, and what is dealt to another node, make nothing unready, whatever becomes of them', () => {
    holds((of) => {
      const isServing = ({ status: { role, dealtTo, lease } }: (typeof of.projections)[number]): boolean =>
        (role === undefined || role === 'live') &&
        dealtTo?.isHere !== false &&
        (lease?.node === undefined || lease.isHere)
      const serving = of.projections.filter(isServing)
      const others = of.projections.filter((projection) => !isServing(projection))
      // Signs of life are another matter: a restart would help.
      if (others.some(({ pulse, waitingSinceMs }) => lostLoop(pulse, NOW, waitingSinceMs) !== undefined))
        return
      const alone = judge({ ...of, projections: serving }, HEALTH_DEFAULTS)
      expect(judge(of, HEALTH_DEFAULTS)).toMatchObject({ ready: alone.ready, reasons: alone.reasons })
    })
  })

  test('a mark that is held says by whom', () => {
    holds((_, { mark }) => {
      expect(mark.heldBy.length > 0).toBe(mark.status === 'held')
    })
  })
})

test('an error is told by its code, or else by its name, and one that cannot be read does not throw', () => {
  const unreadable = new Proxy(new Error('secret'), {
    get: () => {
      throw new Error('secret')
    },
  })
  expect(errorName(Object.assign(new Error('secret'), { code: '40P01' }))).toBe('40P01')
  expect(errorName(new TypeError('secret'))).toBe('TypeError')
  expect(errorName(Object.assign(new Error('secret'), { code: 7 }))).toBe('Error')
  expect(errorName('secret')).toBe('something that is no Error')
  expect(errorName(null)).toBe('something that is no Error')
  expect(errorName(unreadable)).toBe('an error that cannot be told')
})
