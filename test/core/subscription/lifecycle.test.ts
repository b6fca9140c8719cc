import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  another,
  confirmed,
  dropped,
  ended,
  eventCame,
  groupSaid,
  headSaid,
  type Lifecycle,
  left,
  type News,
  STARTED,
  type Step,
  serverSaid,
} from '../../../packages/core/src/subscription/lifecycle.ts'

const drop = { reason: 'unavailable', error: new Error('gone') }

const INPUTS = {
  confirmed,
  event: eventCame,
  'server: caught up': (it: Lifecycle) => serverSaid(it, 'caught_up'),
  'server: fell behind': (it: Lifecycle) => serverSaid(it, 'fell_behind'),
  'head: caught up': (it: Lifecycle) => headSaid(it, 'caught_up'),
  'head: fell behind': (it: Lifecycle) => headSaid(it, 'fell_behind'),
  'group: live': (it: Lifecycle) => groupSaid(it, true),
  drop: (it: Lifecycle) => dropped(it, drop, true),
  'last drop': (it: Lifecycle) => dropped(it, drop, false),
  left,
  stop: (it: Lifecycle) => ended(it, 'end'),
  'give up': (it: Lifecycle) => ended(it, 'give_up'),
  another,
} satisfies Record<string, (lifecycle: Lifecycle) => Step>
type Input = keyof typeof INPUTS

/** Where these lead, one after the other, and what is told of each. */
function after(...inputs: readonly Input[]) {
  let lifecycle = STARTED
  const told = inputs.map((input) => {
    const step = INPUTS[input](lifecycle)
    lifecycle = step.lifecycle
    return step.news.map((news) => (news.kind === 'entered' ? news.state : news.kind))
  })
  return { lifecycle, told, last: told.at(-1) }
}

const inputs = fc.array(fc.constantFrom(...(Object.keys(INPUTS) as Input[])), { maxLength: 40 })

describe('whatever happens, in whatever order', () => {
  /** Calls `look` at each step. */
  const always = (look: (before: Lifecycle, step: Step, input: Input, told: readonly News[]) => void) =>
    fc.assert(
      fc.property(inputs, (given) => {
        let lifecycle = STARTED
        const told: News[] = []
        for (const input of given) {
          const step = INPUTS[input](lifecycle)
          told.push(...step.news)
          look(lifecycle, step, input, told)
          lifecycle = step.lifecycle
        }
      }),
      { numRuns: 500 },
    )

  test('the last state that was told is the state', () => {
    always((_, { lifecycle }, __, told) => {
      const states = told.flatMap((each) => (each.kind === 'entered' ? [each.state] : []))
      expect(states.at(-1) ?? STARTED.state).toBe(lifecycle.state)
    })
  })

  test('nothing is told twice: no state that it is in, and the end once', () => {
    always((_, { lifecycle }, __, told) => {
      const states = told.flatMap((each) => (each.kind === 'entered' ? [each.state] : []))
      for (const [index, state] of states.entries()) {
        expect(state).not.toBe(index === 0 ? STARTED.state : states[index - 1])
      }
      const ends = told.filter(({ kind }) => kind === 'over')
      expect(ends).toHaveLength(lifecycle.stage === 'over' ? 1 : 0)
    })
  })

  test('once it is over, nothing moves it or is told', () => {
    always((before, { lifecycle, news }) => {
      if (before.stage !== 'over') return
      expect(news).toEqual([])
      expect({ ...lifecycle, serverTells: before.serverTells }).toEqual(before)
    })
  })

  test('between two subscriptions, only the next one or the end moves it', () => {
    always((before, { lifecycle, news }, input) => {
      if (before.stage !== 'between' || input === 'another' || input === 'stop' || input === 'give up') return
      expect(news).toEqual([])
      expect({ ...lifecycle, serverTells: before.serverTells }).toEqual(before)
    })
  })

  test('only an open one is catching up or live; why it was dropped is known for as long as it is dropped', () => {
    always((_, { lifecycle: { state, stage, drop: known } }) => {
      if (state === 'live' || state === 'catching_up') expect({ stage, known }).toEqual({ stage: 'open' })
      if (state === 'dropped') expect(known).toBe(drop)
    })
  })

  test('each drop that another one follows is told to the loop, until one recovery, which is told once', () => {
    always((_, { lifecycle }, __, told) => {
      const row = told.flatMap(({ kind }) => (kind === 'failed' || kind === 'recovered' ? [kind] : []))
      for (const [index, kind] of row.entries()) {
        if (kind === 'recovered') expect(row[index - 1]).toBe('failed')
      }
      if (lifecycle.stage !== 'over') expect(lifecycle.isFailing).toBe(row.at(-1) === 'failed')
    })
  })

  test('an outage is counted as one drop, however many tries it takes', () => {
    always((_, __, ___, told) => {
      let isOut = false
      for (const { kind, ...news } of told) {
        if (kind === 'dropped' && isOut) expect(told.map((each) => each.kind)).toContain('lost')
        if (kind === 'dropped') isOut = true
        else if (kind === 'entered' && 'state' in news && news.state !== 'dropped') isOut = false
      }
    })
  })
})

describe('a subscription alone', () => {
  test('is live when its server says so, or else when the head does', () => {
    expect(after('server: caught up').lifecycle.state).toBe('live')
    expect(after('head: caught up').lifecycle.state).toBe('live')
    expect(after('group: live').lifecycle.state).toBe('live')
    expect(after('server: caught up', 'head: fell behind').lifecycle.state, 'the server knows better').toBe(
      'live',
    )
    expect(after('head: caught up', 'head: fell behind').lifecycle.state).toBe('catching_up')
    expect(after('server: caught up', 'server: fell behind').lifecycle.state).toBe('catching_up')
  })

  test('ends with its last drop: that is counted, logged, and all is over', () => {
    const { last, lifecycle } = after('server: caught up', 'last drop')
    expect(last).toEqual(['dropped', 'dropped', 'lost', 'over'])
    expect(lifecycle).toMatchObject({ state: 'dropped', stage: 'over', drop })
    expect(after('last drop', 'left').lifecycle.state, 'whoever then closes it has not mended it').toBe(
      'dropped',
    )
  })

  test('ends when its consumer leaves it, or its monitor is stopped', () => {
    expect(after('left').last).toEqual(['ended', 'over'])
    expect(after('stop').last).toEqual(['ended', 'over'])
  })
})

describe('subscriptions that follow each other', () => {
  test('stay dropped until the next one is answered, by whatever sign', () => {
    expect(after('drop', 'another').lifecycle).toMatchObject({ state: 'dropped', stage: 'open', drop })
    for (const sign of ['confirmed', 'event', 'server: fell behind'] as const) {
      expect(after('drop', 'another', sign).lifecycle).toMatchObject({
        state: 'catching_up',
        drop: undefined,
      })
    }
    expect(after('drop', 'another', 'server: caught up').last).toEqual(['catching_up', 'live', 'recovered'])
    expect(after('drop', 'another', 'head: caught up').lifecycle.state, 'no reading answers').toBe('dropped')
  })

  test('have recovered with an event or when live, not when merely answered', () => {
    expect(after('drop', 'another', 'confirmed').last).toEqual(['catching_up'])
    expect(after('drop', 'another', 'confirmed', 'event').last).toEqual(['recovered'])
    expect(after('drop', 'another', 'confirmed', 'head: caught up').last).toEqual(['live', 'recovered'])
    expect(after('drop', 'event').last, 'what was in the buffer of the dropped one').toEqual([])
  })

  test('a try that is never answered is no drop of its own, unless it is the last', () => {
    expect(after('drop').last).toEqual(['dropped', 'dropped', 'failed'])
    expect(after('drop', 'another', 'drop').last).toEqual(['failed'])
    expect(after('drop', 'another', 'confirmed', 'drop').last).toEqual(['dropped', 'dropped', 'failed'])
    expect(after('drop', 'another', 'last drop').last).toEqual(['dropped', 'lost', 'over'])
  })

  test('whose consumer wants none any more have ended; whoever only stops looking leaves it dropped', () => {
    expect(after('drop', 'give up').last).toEqual(['ended', 'over'])
    expect(after('drop', 'stop').last).toEqual(['over'])
    expect(after('drop', 'left').last, 'it has ended already').toEqual([])
  })

  test('what one server tells is not expected of the next', () => {
    const { lifecycle } = after('server: caught up', 'drop', 'another', 'confirmed', 'head: caught up')
    expect(lifecycle.state).toBe('live')
  })
})
