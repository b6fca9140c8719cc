import {
  denseOrder,
  IncarnationChangedError,
  LateEventsError,
  ProgressNeededError,
  StoreRewoundError,
} from '@tidemark/core/adapter'
import { describe, expect, test } from 'vitest'
import { next } from '../../../packages/core/src/high-water/lifecycle.ts'
import type {
  Command,
  Context,
  Input,
  InputKind,
  Step,
} from '../../../packages/core/src/high-water/lifecycle-commands.ts'
import {
  NOT_STARTED,
  type Phase,
  type Standing,
} from '../../../packages/core/src/high-water/lifecycle-standing.ts'
import { reading } from '../rig.ts'

const NOW_MS = 1_000_000
const READING = reading({ head: 8n, settled: 8n, mark: 8n })
const FURTHER = reading({ head: 9n, settled: 9n, mark: 9n })
const SKIPPED = [{ stored: 8n, current: 11n, count: 2n }]
const OTHER = reading({ incarnation: 'second' })
const RUN = { opened: { incarnation: 'first', memory: undefined }, sharesLog: true }
const OTHER_RUN = { opened: { incarnation: 'second', memory: undefined }, sharesLog: false }

/** In the fourth poll, after three that succeeded. */
const POLLING: Standing<bigint> = {
  ...NOT_STARTED,
  shown: { state: 'polling', error: undefined },
  known: { run: RUN, reading: READING, ofPoll: 3 },
  newest: READING,
  poll: { number: 4, before: READING, run: RUN, isAnew: false, asksStored: false, reading: undefined },
  pace: { failuresInARow: 0, backOffMs: 0, lastPollsMs: [2, 4], spacedToMs: 0 },
}
const ANEW: Standing<bigint> = { ...POLLING, known: undefined }

const STANDING: Readonly<Record<Phase, Standing<bigint>>> = {
  idle: NOT_STARTED,
  starting: { ...NOT_STARTED, phase: 'starting' },
  opening: { ...ANEW, phase: 'opening', poll: { ...ANEW.poll, run: undefined } },
  recalling: { ...ANEW, phase: 'recalling' },
  reading: { ...POLLING, phase: 'reading' },
  recording: { ...POLLING, phase: 'recording', poll: { ...POLLING.poll, reading: FURTHER } },
  saving: { ...POLLING, phase: 'saving' },
  resting: { ...POLLING, phase: 'resting' },
  halted: { ...POLLING, phase: 'halted' },
  stopping: { ...POLLING, phase: 'stopping' },
  stopped: { ...POLLING, phase: 'stopped' },
}

const INPUT: { readonly [K in InputKind]: Extract<Input<bigint>, { readonly kind: K }> } = {
  start: { kind: 'start' },
  prepared: { kind: 'prepared' },
  opened: { kind: 'opened', ...RUN },
  recalled: { kind: 'recalled', stored: [] },
  read: { kind: 'read', reading: FURTHER },
  recorded: { kind: 'recorded' },
  saved: { kind: 'saved' },
  failed: { kind: 'failed', error: new Error('connection terminated'), isTransient: true },
  due: { kind: 'due' },
  doubted: { kind: 'doubted', incarnation: 'first' },
  stop: { kind: 'stop' },
  given_up: { kind: 'given_up' },
}

type Follows = readonly [Phase, ...Command<bigint>['kind'][]]
type Row = Readonly<Record<InputKind, Follows>>

const inPhase = (phase: Phase, by: Partial<Row>): Row => ({
  start: [phase],
  prepared: [phase],
  opened: [phase],
  recalled: [phase],
  read: [phase],
  recorded: [phase],
  saved: [phase],
  failed: [phase],
  due: [phase],
  doubted: [phase],
  stop: ['stopped', 'end'],
  given_up: [phase],
  ...by,
})
const atWork = (phase: Phase, by: Partial<Row>): Row =>
  inPhase(phase, { failed: ['resting', 'wait'], stop: ['stopping'], ...by })

/** What follows. Reports are left out. */
const FOLLOWS: Readonly<Record<Phase, Row>> = {
  idle: inPhase('idle', { start: ['starting', 'prepare'] }),
  starting: inPhase('starting', { prepared: ['opening', 'open'], failed: ['stopped', 'refused', 'end'] }),
  opening: atWork('opening', { opened: ['recalling', 'recall'] }),
  recalling: atWork('recalling', { recalled: ['reading', 'read'] }),
  reading: atWork('reading', { read: ['saving', 'save'] }),
  recording: atWork('recording', { recorded: ['saving', 'save'] }),
  saving: atWork('saving', { saved: ['resting', 'wait'] }),
  resting: inPhase('resting', { due: ['reading', 'read'] }),
  halted: inPhase('halted', { due: ['halted', 'wait'] }),
  stopping: inPhase('stopping', {
    opened: ['stopped', 'end'],
    recalled: ['stopped', 'end'],
    read: ['stopped', 'end'],
    recorded: ['stopped', 'end'],
    saved: ['stopped', 'end'],
    failed: ['stopped', 'end'],
    stop: ['stopping'],
    given_up: ['stopped', 'end'],
  }),
  stopped: inPhase('stopped', { stop: ['stopped'] }),
}

const context = (by: Partial<Context<bigint>> = {}): Context<bigint> => ({
  nowMs: NOW_MS,
  storeMs: 3,
  order: denseOrder,
  cadence: { pollIntervalMs: 1_000, pollDelayMs: 25, pollTimeShare: 0.5 },
  isTold: false,
  savesSettled: true,
  ...by,
})

/** Takes these one after another; the commands are those of the last one. */
function step(
  standing: Standing<bigint>,
  inputs: Input<bigint> | readonly Input<bigint>[],
  by: Partial<Context<bigint>> = {},
): Step<bigint> {
  let at: Step<bigint> = { standing, commands: [] }
  for (const input of [inputs].flat()) at = next(at.standing, input, context(by))
  return at
}

const failed = (error: Error, isTransient = false): Input<bigint> => ({ kind: 'failed', error, isTransient })
const CHANGED = failed(new IncarnationChangedError('first', 'second'))
const ANOTHER_RUN: readonly Input<bigint>[] = [
  CHANGED,
  { kind: 'opened', ...OTHER_RUN },
  { kind: 'recalled', stored: [] },
]

const keysOf = <K extends string>(record: Readonly<Record<K, unknown>>): K[] => Object.keys(record) as K[]

describe.each(keysOf(FOLLOWS))('%s:', (phase) => {
  test.each(keysOf(FOLLOWS[phase]))('%s', (kind) => {
    const { standing, commands } = step(STANDING[phase], INPUT[kind])
    const others = commands.filter((command) => command.kind !== 'report')
    expect([standing.phase, ...others.map((command) => command.kind)]).toEqual(FOLLOWS[phase][kind])
  })
})

describe('a poll', () => {
  test('goes on from the reading before it', () => {
    const [, read] = step(STANDING.resting, INPUT.due).commands
    expect(read).toEqual({
      kind: 'read',
      request: { ...RUN, previous: READING, stored: undefined, former: undefined },
    })
  })

  test('that sees another incarnation drops what was learned, and is told only what was passed on before', () => {
    const stored = [{ unit: undefined, position: undefined, settled: 7n, incarnation: 'second' }]
    const changed = step(STANDING.reading, CHANGED)
    expect(changed.standing.known).toBeUndefined()
    expect(changed.commands).toEqual([{ kind: 'report', report: { kind: 'forgot' } }, { kind: 'open' }])
    const { commands } = step(changed.standing, [
      { kind: 'opened', ...OTHER_RUN },
      { kind: 'recalled', stored },
    ])
    expect(commands).toEqual([
      { kind: 'read', request: { ...OTHER_RUN, previous: undefined, stored, former: READING } },
    ])
  })

  test('that sees a change again is a failed one, which passes', () => {
    const { standing, commands } = step(STANDING.reading, [...ANOTHER_RUN, CHANGED])
    expect(standing).toMatchObject({ phase: 'resting', shown: { state: 'failing' }, known: undefined })
    expect(commands.map(({ kind }) => kind)).toEqual(['report', 'wait'])
    const isFirst = { ...STANDING.reading, poll: { ...POLLING.poll, number: 1 } }
    const first = step(isFirst, [...ANOTHER_RUN, CHANGED])
    expect(first.standing.phase).toBe('resting')
  })

  test('that needs the stored progress is given it once, and goes on from the same reading', () => {
    const needed = failed(new ProgressNeededError())
    const { standing, commands } = step(STANDING.reading, [needed, INPUT.recalled])
    expect(commands).toEqual([
      { kind: 'read', request: { ...RUN, previous: READING, stored: [], former: undefined } },
    ])
    expect(step(standing, needed).standing.phase).toBe('resting')
  })

  test('is told of, and whether it moved anything', () => {
    const polled = (before: Standing<bigint>, now = READING) =>
      step(before, { kind: 'read', reading: now }).commands[0]
    expect(polled(STANDING.reading)).toMatchObject({ report: { kind: 'polled', moved: false } })
    expect(polled(STANDING.reading, { ...READING })).toMatchObject({ report: { moved: false } })
    expect(polled(STANDING.reading, { ...READING, head: 9n })).toMatchObject({ report: { moved: true } })
    const first = { ...STANDING.reading, poll: { ...POLLING.poll, before: undefined } }
    expect(polled(first)).toMatchObject({ report: { moved: true } })
  })

  test('that has passed positions without proof is not used before this is recorded', () => {
    const passed = { ...FURTHER, skipped: SKIPPED }
    const { standing, commands } = step(STANDING.reading, { kind: 'read', reading: passed })
    expect(commands).toEqual([{ kind: 'record', skipped: SKIPPED }])
    expect(standing.known?.reading).toBe(READING)
    expect(step(standing, INPUT.recorded).standing.known?.reading).toBe(passed)
  })
})

describe('a doubt', () => {
  test('makes the next poll begin anew, though what is known is used until then', () => {
    const doubted = step(STANDING.resting, INPUT.doubted)
    expect(doubted.standing.known?.reading).toBe(READING)
    const { standing, commands } = step(doubted.standing, INPUT.due)
    expect(standing.known).toBeUndefined()
    expect(
      commands.map((command) => (command.kind === 'report' ? command.report.kind : command.kind)),
    ).toEqual(['begun', 'forgot', 'open'])
  })

  test('that comes during a poll is looked at by the next one', () => {
    const inputs = [INPUT.doubted, INPUT.read, INPUT.saved, INPUT.due]
    expect(step(STANDING.reading, inputs).standing.phase).toBe('opening')
  })

  test('is looked at once', () => {
    const inputs = [
      INPUT.doubted,
      INPUT.due,
      INPUT.opened,
      INPUT.recalled,
      INPUT.read,
      INPUT.saved,
      INPUT.due,
    ]
    expect(step(STANDING.resting, inputs).standing.phase).toBe('reading')
  })

  test('of another incarnation drops nothing', () => {
    const inputs: Input<bigint>[] = [{ kind: 'doubted', incarnation: 'zeroth' }, INPUT.due]
    expect(step(STANDING.resting, inputs).standing).toMatchObject({ phase: 'reading', known: POLLING.known })
  })
})

describe('after a failed poll', () => {
  test.each(['opening', 'recalling', 'reading', 'recording', 'saving'] as const)(
    'what was known stays known, and nothing wakes the agent for a while: %s',
    (phase) => {
      const { standing, commands } = step(STANDING[phase], INPUT.failed)
      expect(standing).toMatchObject({
        known: STANDING[phase].known,
        shown: { state: 'failing', error: INPUT.failed.error },
      })
      expect(commands).toEqual([
        { kind: 'report', report: { kind: 'failed', error: INPUT.failed.error } },
        { kind: 'wait', deafMs: 50, apartMs: 0, longestMs: 0 },
      ])
    },
  )

  test('the waits grow, also where it is only settled that cannot be stored', () => {
    const again = [INPUT.failed, INPUT.due, INPUT.read]
    const third = step(STANDING.saving, [...again, ...again, INPUT.failed])
    expect(third.commands.at(-1)).toEqual({ kind: 'wait', deafMs: 200, apartMs: 0, longestMs: 0 })
    const saved = step(third.standing, [INPUT.due, INPUT.read, INPUT.saved, INPUT.due, INPUT.failed])
    expect(saved.commands.at(-1)).toEqual({ kind: 'wait', deafMs: 50, apartMs: 0, longestMs: 0 })
  })

  test('a store that went back halts the agent, and what was known stays known', () => {
    const error = new StoreRewoundError('rewound')
    const { standing, commands } = step(STANDING.reading, failed(error))
    expect(standing).toMatchObject({
      phase: 'halted',
      shown: { state: 'halted', error },
      known: POLLING.known,
    })
    expect(commands[1]).toEqual({ kind: 'report', report: { kind: 'halted', error } })
  })

  test('late events halt it, and there is no mark any more', () => {
    const error = new LateEventsError('events', [{ position: '7', type: 'Paid' }], [], 'Read the manual.')
    const { standing, commands } = step(STANDING.reading, failed(error))
    expect(standing).toMatchObject({ phase: 'halted', shown: { state: 'halted', error }, known: undefined })
    expect(commands.at(-1)).toEqual({ kind: 'report', report: { kind: 'forgot' } })
  })
})

describe('the first poll', () => {
  const first = (phase: Phase): Standing<bigint> => ({
    ...STANDING[phase],
    poll: { ...STANDING[phase].poll, number: 1 },
  })

  test('starts the agent, and the next one follows at once', () => {
    const { commands } = step(first('saving'), INPUT.saved)
    expect(commands).toEqual([{ kind: 'started' }, { kind: 'wait', deafMs: 0, apartMs: 0, longestMs: 0 }])
  })

  test('that fails in a way that passes starts it too', () => {
    const { standing, commands } = step(first('reading'), INPUT.failed)
    expect(standing.shown.state).toBe('failing')
    expect(commands.map(({ kind }) => kind)).toEqual(['report', 'started', 'wait'])
  })

  test.each([new Error('row security hides events'), new StoreRewoundError('rewound')])(
    'that fails otherwise refuses the start: %s',
    (error) => {
      const { standing, commands } = step(first('reading'), failed(error))
      expect(standing).toMatchObject({ phase: 'stopped', shown: { state: 'stopped', error } })
      expect(commands.slice(1)).toEqual([{ kind: 'refused', error }, { kind: 'end' }])
    },
  )
})

describe('settled', () => {
  const SAVED = { reading: READING, atMs: NOW_MS - 1_000 }
  const asks = (saved: Standing<bigint>['saved'], now = FURTHER, by: Partial<Context<bigint>> = {}) =>
    step({ ...STANDING.reading, saved }, { kind: 'read', reading: now }, by).standing.phase === 'saving'

  const ROLLED_BACK = { ...FURTHER, mark: READING.mark }

  test('is saved a second after it was saved last, if it has moved', () => {
    expect(asks(SAVED, ROLLED_BACK)).toBe(true)
    expect(asks({ ...SAVED, atMs: NOW_MS - 999 }, ROLLED_BACK)).toBe(false)
    expect(asks(SAVED, READING)).toBe(false)
  })

  test.each([
    ['events come, whose checkpoints carry it', FURTHER],
    ['something stands in the way', { ...ROLLED_BACK, head: 12n }],
  ])('is saved every 10 s while %s: a save keeps the next poll waiting', (_, now) => {
    expect(asks({ ...SAVED, atMs: NOW_MS - 10_000 }, now)).toBe(true)
    expect(asks({ ...SAVED, atMs: NOW_MS - 9_999 }, now)).toBe(false)
  })

  test('is saved anew in another incarnation, though its number is the same', () => {
    expect(asks(SAVED, { ...READING, incarnation: 'second' })).toBe(true)
  })

  test('is not saved where there is none, or nowhere to save it', () => {
    expect(asks(undefined, OTHER)).toBe(false)
    expect(asks(undefined, FURTHER, { savesSettled: false })).toBe(false)
  })

  test('counts as saved only once it is', () => {
    const reads = [INPUT.failed, INPUT.due, INPUT.read]
    expect(step(STANDING.saving, reads).standing.phase).toBe('saving')
    const { standing } = step(STANDING.saving, [INPUT.saved, INPUT.due, INPUT.read])
    expect(standing.phase).toBe('resting')
  })
})

test('the rest after a poll is as long as the poll and pollDelayMs, and a wake-up shortens it to the quickest of the last ones', () => {
  const { standing, commands } = step(STANDING.reading, INPUT.read, { savesSettled: false, storeMs: 6 })
  expect(commands.at(-1)).toEqual({ kind: 'wait', deafMs: 2, apartMs: 0, longestMs: 31 })
  const idle = step(standing, [INPUT.due, INPUT.read], { savesSettled: false, storeMs: 6 })
  expect(idle.commands.at(-1)).toEqual({ kind: 'wait', deafMs: 2, apartMs: 0, longestMs: 56 })
})

test('polls that follow each other are pollDelayMs apart after a few, from begin to begin', () => {
  const cycle = (standing: Standing<bigint>, nowMs: number) =>
    step(standing, [INPUT.due, INPUT.read], { savesSettled: false, nowMs })
  let { standing } = cycle(STANDING.resting, NOW_MS)
  const apart: unknown[] = []
  for (const afterMs of [5, 10, 15, 40, 65]) {
    const at = cycle(standing, NOW_MS + afterMs)
    standing = at.standing
    apart.push(...at.commands.flatMap((command) => (command.kind === 'wait' ? command.apartMs : [])))
  }
  expect(apart).toEqual([0, 0, 10, 10, 10])
})

test('what an agent says of its last failure stays when it is stopped', () => {
  const { error } = INPUT.failed
  const { standing } = step(STANDING.reading, [INPUT.failed, INPUT.stop])
  expect(standing.shown).toEqual({ state: 'stopped', error })
})
