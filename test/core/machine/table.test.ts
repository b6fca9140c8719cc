import type { HighWaterReading } from '@tidemark/core/adapter'
import { denseOrder, ProjectionPausedError } from '@tidemark/core/adapter'
import { describe, expect, test } from 'vitest'
import { decideBy } from '../../../packages/core/src/failures/on-failure.ts'
import type { Command, Context, Input, InputKind } from '../../../packages/core/src/projection/commands.ts'
import { next } from '../../../packages/core/src/projection/machine.ts'
import { NOT_STARTED, type Phase, type Standing } from '../../../packages/core/src/projection/standing.ts'
import { reading } from '../rig.ts'

const ATTEMPTS = 2
/** Three positions wait behind the mark. */
const READING: HighWaterReading<bigint> = reading({ head: 8n, settled: 8n, mark: 8n })

const OWNED: Standing<bigint> = {
  ...NOT_STARTED,
  shows: 'catching_up',
  right: 'held',
  startedAt: { head: 8n },
  checkpoint: { position: 5n, skipped: {} },
  isCheckpointRead: true,
  cursor: 5n,
  cursorIncarnation: READING.incarnation,
}

const PAUSED_FOR = {
  error: new Error('poison'),
  failure: {
    stage: 'handle',
    batch: undefined,
    attempt: ATTEMPTS,
    attempts: ATTEMPTS,
    inARow: ATTEMPTS,
    sinceMs: 800_000,
    pausedSinceMs: 900_000,
    nextTryAtMs: 905_000,
    whatToDo: '',
  },
} as const

/** For five seconds more. */
const WAITING = {
  error: PAUSED_FOR.error,
  failure: { ...PAUSED_FOR.failure, nextTryAtMs: 1_005_000 },
} as const

/** An operator. */
const BY = { who: 'ann', why: 'mending', sinceMs: 990_000 }

const STANDING: Readonly<Record<Phase, Standing<bigint>>> = {
  unowned: { ...OWNED, phase: 'unowned', shows: 'standby', right: 'none', isCheckpointRead: false },
  opening: { ...OWNED, phase: 'opening', isCheckpointRead: false },
  following: { ...OWNED, phase: 'following', shows: 'live' },
  loading: { ...OWNED, phase: 'loading' },
  applying: {
    ...OWNED,
    phase: 'applying',
    moving: {
      to: 7n,
      page: {
        events: 2,
        extent: { events: 2, first: 6n, last: 7n },
        evidence: READING,
        lastAppendedAtMs: undefined,
      },
    },
  },
  mending: { ...OWNED, phase: 'mending', letters: 'after_batch' },
  fulfilling: { ...OWNED, phase: 'fulfilling' },
  resting: { ...OWNED, phase: 'resting', shows: 'retrying', isCheckpointRead: false, failuresInARow: 1 },
  paused: {
    ...OWNED,
    ...PAUSED_FOR,
    phase: 'paused',
    shows: 'paused',
    isCheckpointRead: false,
    attempts: ATTEMPTS,
    failuresInARow: ATTEMPTS,
    pause: { tries: 0, ...PAUSED_FOR },
  },
  stopped: { ...OWNED, phase: 'stopped', shows: 'stopped', stopping: 'draining' },
}

const INPUT: { readonly [K in InputKind]: Extract<Input<bigint, string>, { readonly kind: K }> } = {
  reading: { kind: 'reading' },
  granted: { kind: 'granted' },
  revoked: { kind: 'revoked' },
  recalled: { kind: 'recalled' },
  opened: {
    kind: 'opened',
    role: 'live',
    furthest: undefined,
    checkpoint: { position: 5n, skipped: {} },
    incarnation: READING.incarnation,
  },
  loaded: {
    kind: 'loaded',
    page: { events: ['a', 'b'], positions: [6n, 7n], through: 7n, reachesMark: false, evidence: READING },
  },
  applied: { kind: 'applied', skipped: {} },
  retried: { kind: 'retried', isMore: false },
  suspected: { kind: 'suspected', limit: 1 },
  failed: {
    kind: 'failed',
    stage: 'handle',
    error: new Error('boom'),
    batch: undefined,
    isTransient: false,
    events: [],
  },
  due: { kind: 'due' },
  desired: {
    kind: 'desired',
    role: undefined,
    pausedBy: BY,
    isNews: true,
    isRetryAsked: false,
    asked: undefined,
  },
  fulfilled: {
    kind: 'fulfilled',
    unit: { checkpoint: { position: undefined, skipped: {} }, role: 'live', furthest: 5n },
  },
  stop: { kind: 'stop', isLate: false },
}

const NARROWEST = { limit: 1, through: 7n, works: 1, passed: 0, patience: 1 }
const RESUMED = {
  kind: 'desired',
  role: undefined,
  pausedBy: undefined,
  isNews: true,
  isRetryAsked: false,
  asked: undefined,
} as const
/** Retries are asked for, and nothing else has changed. */
const ASKED = { ...RESUMED, isNews: false, isRetryAsked: true } as const

type Follows = readonly [Phase, ...Command<bigint, string>['kind'][]]

/** What follows, with events waiting behind the mark. Reports are left out. */
const FOLLOWS: Readonly<Record<Phase, Readonly<Record<InputKind, Follows>>>> = {
  unowned: {
    reading: ['unowned'],
    granted: ['opening', 'open'],
    revoked: ['unowned'],
    recalled: ['unowned'],
    opened: ['unowned'],
    loaded: ['unowned'],
    applied: ['unowned'],
    retried: ['unowned'],
    suspected: ['unowned'],
    failed: ['resting', 'wait'],
    due: ['unowned'],
    desired: ['unowned'],
    fulfilled: ['unowned'],
    stop: ['unowned'],
  },
  opening: {
    reading: ['opening'],
    granted: ['opening'],
    revoked: ['opening'],
    recalled: ['opening'],
    opened: ['loading', 'load'],
    loaded: ['opening'],
    applied: ['opening'],
    retried: ['opening'],
    suspected: ['opening'],
    failed: ['resting', 'wait'],
    due: ['opening'],
    desired: ['opening'],
    fulfilled: ['opening'],
    stop: ['opening'],
  },
  following: {
    reading: ['loading', 'load'],
    granted: ['following'],
    revoked: ['unowned', 'acquire'],
    recalled: ['unowned', 'release', 'acquire'],
    opened: ['following'],
    loaded: ['following'],
    applied: ['following'],
    retried: ['following'],
    suspected: ['following'],
    failed: ['following'],
    due: ['loading', 'load'],
    desired: ['paused'],
    fulfilled: ['following'],
    stop: ['stopped', 'end'],
  },
  loading: {
    reading: ['loading'],
    granted: ['loading'],
    revoked: ['loading'],
    recalled: ['loading'],
    opened: ['loading'],
    loaded: ['applying', 'apply'],
    applied: ['loading'],
    retried: ['loading'],
    suspected: ['loading'],
    failed: ['resting', 'wait'],
    due: ['loading'],
    desired: ['loading'],
    fulfilled: ['loading'],
    stop: ['loading'],
  },
  applying: {
    reading: ['applying'],
    granted: ['applying'],
    revoked: ['applying'],
    recalled: ['applying'],
    opened: ['applying'],
    loaded: ['applying'],
    applied: ['loading', 'load'],
    retried: ['applying'],
    suspected: ['loading', 'load'],
    failed: ['resting', 'wait'],
    due: ['applying'],
    desired: ['applying'],
    fulfilled: ['applying'],
    stop: ['applying'],
  },
  mending: {
    reading: ['mending'],
    granted: ['mending'],
    revoked: ['mending'],
    recalled: ['mending'],
    opened: ['mending'],
    loaded: ['mending'],
    applied: ['mending'],
    suspected: ['mending'],
    retried: ['loading', 'load'],
    failed: ['resting', 'wait'],
    due: ['mending'],
    desired: ['mending'],
    stop: ['mending'],
    fulfilled: ['mending'],
  },
  fulfilling: {
    reading: ['fulfilling'],
    granted: ['fulfilling'],
    revoked: ['fulfilling'],
    recalled: ['fulfilling'],
    opened: ['fulfilling'],
    loaded: ['fulfilling'],
    applied: ['fulfilling'],
    suspected: ['fulfilling'],
    failed: ['fulfilling'],
    due: ['fulfilling'],
    retried: ['fulfilling'],
    desired: ['fulfilling'],
    fulfilled: ['opening', 'open'],
    stop: ['fulfilling'],
  },
  resting: {
    reading: ['resting'],
    granted: ['resting'],
    revoked: ['unowned', 'acquire'],
    recalled: ['unowned', 'release', 'acquire'],
    opened: ['resting'],
    loaded: ['resting'],
    applied: ['resting'],
    retried: ['resting'],
    suspected: ['resting'],
    failed: ['resting'],
    due: ['opening', 'open'],
    desired: ['paused'],
    fulfilled: ['resting'],
    stop: ['stopped', 'end'],
  },
  paused: {
    reading: ['paused'],
    granted: ['paused'],
    revoked: ['unowned', 'acquire'],
    recalled: ['unowned', 'release', 'acquire'],
    opened: ['paused'],
    loaded: ['paused'],
    applied: ['paused'],
    retried: ['paused'],
    suspected: ['paused'],
    failed: ['paused'],
    due: ['opening', 'open'],
    desired: ['paused'],
    fulfilled: ['paused'],
    stop: ['paused', 'end'],
  },
  stopped: {
    reading: ['stopped'],
    granted: ['stopped'],
    revoked: ['stopped'],
    recalled: ['stopped'],
    opened: ['stopped'],
    loaded: ['stopped'],
    applied: ['stopped'],
    retried: ['stopped'],
    suspected: ['stopped'],
    failed: ['stopped'],
    due: ['stopped'],
    desired: ['stopped'],
    fulfilled: ['stopped'],
    stop: ['stopped'],
  },
}

const NOW_MS = 1_000_000
const context = (by: Partial<Context<bigint>> = {}): Context<bigint> => ({
  nowMs: NOW_MS,
  order: denseOrder,
  reading: READING,
  policy: {
    attempts: ATTEMPTS,
    batchSize: 100,
    longestPauseMs: 300_000,
    decide: decideBy('pause', 'onFailure'),
  },
  random: 0.5,
  ...by,
})

const step = (
  standing: Standing<bigint>,
  input: Input<bigint, string>,
  by: Partial<Context<bigint>> = {},
): { readonly standing: Standing<bigint>; readonly commands: readonly Command<bigint, string>[] } =>
  next<bigint, string>(standing, input, context(by))

const keysOf = <K extends string>(record: Readonly<Record<K, unknown>>): K[] => Object.keys(record) as K[]

describe.each(keysOf(FOLLOWS))('%s:', (phase) => {
  test.each(keysOf(FOLLOWS[phase]))('%s', (kind) => {
    const { standing, commands } = step(STANDING[phase], INPUT[kind])
    const others = commands.filter((command) => command.kind !== 'report')
    expect([standing.phase, ...others.map((command) => command.kind)]).toEqual(FOLLOWS[phase][kind])
  })
})

describe('dead letters that are to be retried', () => {
  const RETRY = { kind: 'retry', at: 5n, reading: READING }
  const idle = { ...STANDING.following, cursor: 8n, checkpointedAtMs: NOW_MS }
  const more = { kind: 'retried', isMore: true } as const

  test('have their turn after a batch, one at a time, and a batch after each', () => {
    const working = step(STANDING.loading, ASKED).standing
    const handling = step(working, INPUT.loaded).standing
    const mending = step(handling, INPUT.applied)
    expect(mending.commands).toEqual([{ ...RETRY, at: 7n }])
    expect(step(mending.standing, more).commands).toMatchObject([{ kind: 'load' }])
  })

  test('go on one after the other while there is nothing else to do, until none is left', () => {
    const mending = step(idle, ASKED)
    expect(mending.commands).toEqual([RETRY])
    const again = step(mending.standing, more)
    expect(again.commands).toEqual([RETRY])
    expect(step(again.standing, INPUT.retried).standing).toMatchObject({
      phase: 'following',
      letters: 'none',
    })
  })

  test('are retried while it is paused for an event that fails, which waits as long as before', () => {
    const paused = { ...STANDING.paused, isCheckpointRead: true, pause: { tries: 0, ...WAITING } }
    const mending = step({ ...paused, ...WAITING }, ASKED)
    expect(mending.commands).toEqual([RETRY])
    expect(mending.standing.shows).toBe('paused')
    const { standing, commands } = step(mending.standing, INPUT.retried)
    expect(standing).toMatchObject({ phase: 'paused', shows: 'paused', ...WAITING })
    expect(commands).toEqual([{ kind: 'wait', ms: 5_000 }])
  })

  test('wait while an operator has paused it, and go on once it is resumed', () => {
    const held = step(idle, { ...INPUT.desired, isRetryAsked: true }).standing
    expect(held.phase).toBe('paused')
    const opening = step(held, { ...ASKED, isNews: true }).standing
    expect(
      step(
        { ...opening, checkpointedAtMs: NOW_MS },
        { ...INPUT.opened, checkpoint: { position: 8n, skipped: {} } },
      ).commands,
    ).toEqual([{ ...RETRY, at: 8n }])
  })

  test('that the store does not let it retry are left until the next look', () => {
    const { standing } = step(STANDING.mending, { ...INPUT.failed, stage: 'commit', isTransient: true })
    expect(standing).toMatchObject({ phase: 'resting', letters: 'none', isCheckpointRead: false })
  })

  test('are told when they have failed again', () => {
    const batch = { firstPosition: '3', lastPosition: '3', events: 1, eventTypes: [] }
    const failure = {
      id: '1',
      burial: { stage: 'handle', error: new Error('boom'), batch, tries: 3 },
    } as const
    const { commands } = step(STANDING.mending, { ...more, failure })
    expect(commands[0]).toEqual({ kind: 'report', report: { kind: 'retry_failed', failure } })
  })

  test('are not begun once it is to stop', () => {
    const { commands } = step({ ...STANDING.mending, stopping: 'draining' }, more)
    expect(commands.at(-1)).toEqual({ kind: 'end' })
    expect(commands.map(({ kind }) => kind)).not.toContain('retry')
  })
})

const IDLE: Standing<bigint> = { ...STANDING.following, cursor: 8n }

describe('while nothing matches', () => {
  test('the checkpoint follows the cursor a second after it has last moved, and no earlier', () => {
    const justMoved = { ...IDLE, checkpointedAtMs: NOW_MS - 400 }
    expect(step(justMoved, { kind: 'reading' }).commands).toEqual([{ kind: 'wait', ms: 600 }])
    const { standing, commands } = step(justMoved, { kind: 'due' }, { nowMs: NOW_MS + 600 })
    expect(commands).toEqual([{ kind: 'checkpoint', from: 5n, to: 8n, evidence: READING }])
    expect(standing).toMatchObject({ phase: 'applying', shows: 'live' })
  })

  test('the end brings one more checkpoint, unless nobody waits for it', () => {
    const [checkpoint] = step(IDLE, { kind: 'stop', isLate: false }).commands
    expect(checkpoint).toMatchObject({ kind: 'checkpoint', to: 8n })
    expect(step(IDLE, { kind: 'stop', isLate: true }).commands.at(-1)).toEqual({ kind: 'end' })
  })

  test('an empty page moves the cursor, and what is shown stays', () => {
    const page = { events: [], positions: [], through: 7n, reachesMark: false, evidence: READING }
    for (const shows of ['live', 'catching_up'] as const) {
      const before = { ...STANDING.loading, shows, checkpointedAtMs: NOW_MS }
      const { standing } = step(before, { kind: 'loaded', page })
      expect(standing).toMatchObject({ phase: 'loading', cursor: 7n, shows })
    }
  })
})

test('without a reading nothing is opened or loaded, and nothing is called live', () => {
  const { standing, commands } = step(STANDING.unowned, { kind: 'granted' }, { reading: undefined })
  expect(standing).toMatchObject({ phase: 'following', shows: 'standby' })
  expect(commands).toEqual([])
})

test('in another incarnation the checkpoint is read again before anything else', () => {
  const other = { ...READING, incarnation: 'second' }
  const { commands } = step(STANDING.applying, { kind: 'applied', skipped: {} }, { reading: other })
  expect(commands).toEqual([{ kind: 'open', incarnation: 'second', head: 8n }])
})

test('a right that is lost at work is asked for again once the work is answered, whatever it says', () => {
  const { standing } = step(STANDING.applying, INPUT.revoked)
  for (const answer of [INPUT.applied, INPUT.failed]) {
    const after = step(standing, answer)
    expect(after.standing).toMatchObject({ phase: 'unowned', shows: 'standby', failure: undefined })
    expect(after.commands.map(({ kind }) => kind)).toEqual(['report', 'report', 'acquire'])
  }
})

test('the last attempt pauses, and its failure is told', () => {
  const narrowest = { ...STANDING.applying, narrowed: NARROWEST }
  const { standing, commands } = step({ ...narrowest, attempts: ATTEMPTS - 1 }, INPUT.failed)
  expect(standing).toMatchObject({ phase: 'paused', shows: 'paused', failure: { attempt: ATTEMPTS } })
  expect(commands).toMatchObject([
    { kind: 'report', report: { kind: 'failed', state: 'paused', isNews: true } },
    { kind: 'report', report: { kind: 'state', state: 'paused' } },
    { kind: 'wait', ms: 5_000 },
  ])
})

test('a paused projection stays so while it is tried again, is paused again by one failure, and waits twice as long', () => {
  const trying = [INPUT.due, INPUT.opened, INPUT.loaded].reduce<Standing<bigint>>(
    (standing, input) => {
      expect(standing).toMatchObject({ shows: 'paused', failure: { attempt: ATTEMPTS } })
      return step(standing, input).standing
    },
    { ...STANDING.paused, narrowed: NARROWEST },
  )
  expect(trying).toMatchObject({ phase: 'applying', shows: 'paused' })
  const again = step(trying, INPUT.failed)
  expect(again.standing).toMatchObject({
    phase: 'paused',
    failure: {
      attempt: ATTEMPTS + 1,
      sinceMs: 800_000,
      pausedSinceMs: 900_000,
      nextTryAtMs: NOW_MS + 10_000,
    },
  })
  expect(again.commands).toMatchObject([
    { kind: 'report', report: { kind: 'failed', isNews: false } },
    { kind: 'wait', ms: 10_000 },
  ])
  const healed = step(trying, INPUT.applied).standing
  expect(healed).toMatchObject({ shows: 'catching_up', attempts: 0, pause: undefined, failure: undefined })
})

test.each(['due', 'revoked'] as const)(
  'what is paused until a restart, or was stopped, stays so (%s)',
  (kind) => {
    const { failure } = STANDING.paused
    if (failure === undefined) throw new Error('a paused projection has a failure')
    const forGood = { ...STANDING.paused, failure: { ...failure, nextTryAtMs: undefined } }
    const right = kind === 'revoked' ? 'none' : 'held'
    expect(step(forGood, INPUT[kind])).toEqual({ standing: { ...forGood, right }, commands: [] })
    const stopped = { ...STANDING.paused, stopping: 'draining' } as const
    expect(step(stopped, INPUT[kind])).toEqual({ standing: stopped, commands: [] })
  },
)

describe('a right that is recalled', () => {
  const others = ({ commands }: ReturnType<typeof step>) =>
    commands.filter(({ kind }) => kind !== 'report').map(({ kind }) => kind)

  test.each([
    ['opening', INPUT.opened],
    ['loading', INPUT.loaded],
    ['applying', INPUT.applied],
    ['applying', INPUT.failed],
    ['mending', INPUT.retried],
    ['fulfilling', INPUT.fulfilled],
  ] as const)('while it is %s is given back as soon as that is answered', (phase, answer) => {
    const asked = step(STANDING[phase], INPUT.recalled)
    expect(asked).toMatchObject({ standing: { phase, right: 'recalled' }, commands: [] })
    const answered = step(asked.standing, answer)
    expect(others(answered)).toEqual(['release', 'acquire'])
    expect(answered.standing).toMatchObject({ phase: 'unowned', right: 'none', shows: 'standby' })
    expect(answered.commands).not.toContainEqual({ kind: 'report', report: { kind: 'conflict' } })
  })

  test('is given back also where it is lost before that', () => {
    const asked = step(STANDING.applying, INPUT.recalled).standing
    const lost = step(asked, INPUT.revoked).standing
    expect(others(step(lost, INPUT.failed))).toEqual(['release', 'acquire'])
  })

  test('is given back once by what stays paused, which asks for it again when it is resumed', () => {
    const held = step(STANDING.following, INPUT.desired).standing
    const recalled = step(held, INPUT.recalled)
    expect(recalled.standing).toMatchObject({ phase: 'paused', pausedBy: BY, right: 'none' })
    expect(others(recalled)).toEqual(['release'])
    expect(others(step(recalled.standing, INPUT.recalled))).toEqual([])
    expect(others(step(recalled.standing, RESUMED))).toEqual(['acquire'])
    const handling = step(step(STANDING.applying, INPUT.recalled).standing, INPUT.desired).standing
    expect(others(step(handling, INPUT.applied))).toEqual(['release'])
  })

  test('lets what is paused until a restart stay so', () => {
    const { failure } = STANDING.paused
    if (failure === undefined) throw new Error('a paused projection has a failure')
    const forGood = { ...STANDING.paused, failure: { ...failure, nextTryAtMs: undefined } }
    const { standing, commands } = step(forGood, INPUT.recalled)
    expect(standing).toMatchObject({ phase: 'paused', right: 'none', failure: { nextTryAtMs: undefined } })
    expect(commands).toEqual([{ kind: 'release' }])
  })

  test('is given back by the end, where it ends first', () => {
    const asked = step(STANDING.applying, INPUT.recalled).standing
    expect(others(step(step(asked, INPUT.stop).standing, INPUT.applied))).toEqual(['end'])
  })
})

test('what is shown stays retrying until something has come of the next try', () => {
  const error = new Error('boom')
  const failed = step(STANDING.applying, { ...INPUT.failed, error }).standing
  const trying = [INPUT.due, INPUT.opened, INPUT.loaded].reduce((standing, input) => {
    expect(standing).toMatchObject({ shows: 'retrying', error })
    return step(standing, input).standing
  }, failed)
  expect(trying).toMatchObject({ phase: 'applying', shows: 'retrying', error })
  const { standing, commands } = step(trying, INPUT.applied)
  expect(standing).toMatchObject({ shows: 'catching_up', error: undefined, failure: undefined })
  expect(commands[0]).toEqual({ kind: 'report', report: { kind: 'over', isWorking: true } })
})

describe("an operator's pause", () => {
  const told = ({ commands }: ReturnType<typeof step>) => commands.filter(({ kind }) => kind === 'report')
  const asked = ({ commands }: ReturnType<typeof step>) => commands.filter(({ kind }) => kind !== 'report')
  const answers = {
    unowned: INPUT.granted,
    opening: INPUT.opened,
    loading: INPUT.loaded,
    applying: INPUT.applied,
  } as const

  test.each(Object.keys(answers) as (keyof typeof answers)[])(
    'that comes while it is %s holds it as soon as that is answered',
    (phase) => {
      const paused = step(STANDING[phase], INPUT.desired)
      expect(paused.standing.phase).toBe(phase)
      expect(told(paused)).toEqual([
        { kind: 'report', report: { kind: 'paused_by', decision: BY } },
        { kind: 'report', report: { kind: 'state', state: 'paused' } },
      ])
      const answered = step(paused.standing, answers[phase])
      expect(answered.standing).toMatchObject({ phase: 'paused', pausedBy: BY })
      expect(asked(answered)).toEqual([])
    },
  )

  test('that its store tells of is no failure, and holds it', () => {
    const error = new ProjectionPausedError('all', BY)
    const refused = step(STANDING.applying, { ...INPUT.failed, stage: 'commit', error })
    expect(refused.standing).toMatchObject({
      phase: 'paused',
      pausedBy: BY,
      attempts: 0,
      failuresInARow: 0,
      failure: undefined,
    })
    expect(asked(refused)).toEqual([])
  })

  test('outlasts whatever would end a wait, and what another owner does', () => {
    const held = step(STANDING.paused, INPUT.desired).standing
    for (const input of [INPUT.due, INPUT.reading, INPUT.revoked, INPUT.desired]) {
      const { standing, commands } = step(held, input)
      expect(standing).toMatchObject({ phase: 'paused', pausedBy: BY })
      expect(commands).toEqual([])
    }
  })

  test('ends when it is resumed: the checkpoint is read again, and what failed is tried at once', () => {
    const held = step(STANDING.paused, INPUT.desired).standing
    const resumed = step(held, RESUMED)
    expect(resumed.standing).toMatchObject({ phase: 'opening', attempts: 0, pause: undefined })
    expect(asked(resumed)).toMatchObject([{ kind: 'open' }])
    expect(told(resumed)).toMatchObject([
      { report: { kind: 'resumed' } },
      { report: { kind: 'state', state: 'retrying' } },
    ])
    const lost = step(step(held, INPUT.revoked).standing, RESUMED)
    expect(asked(lost)).toEqual([{ kind: 'acquire' }])
  })

  test.each(['following', 'unowned', 'loading', 'applying'] as const)(
    'that came and went unseen, while it was %s, lets the checkpoint be read again: it may have been moved',
    (phase) => {
      const looked = step({ ...STANDING[phase], isCheckpointRead: true }, RESUMED)
      expect(told(looked)).toEqual([])
      const { commands } =
        phase === 'following'
          ? looked
          : step(looked.standing, phase === 'unowned' ? INPUT.granted : INPUT.applied)
      if (phase === 'loading') expect(looked.standing.isCheckpointRead).toBe(false)
      else expect(commands).toMatchObject([{ kind: 'open' }])
      expect(step(STANDING.following, { ...RESUMED, isNews: false })).toEqual({
        standing: STANDING.following,
        commands: [],
      })
    },
  )

  test('moves no checkpoint at the end either', () => {
    const ahead = { ...STANDING.loading, cursor: 7n }
    const stopping = step(step(ahead, INPUT.desired).standing, INPUT.stop).standing
    const empty = { ...INPUT.loaded, page: { ...INPUT.loaded.page, events: [], positions: [] } }
    expect(asked(step(stopping, empty))).toEqual([{ kind: 'end' }])
  })

  test('is not told twice, and is when another operator has paused it meanwhile', () => {
    const held = step(STANDING.following, INPUT.desired).standing
    expect(step(held, INPUT.desired)).toEqual({ standing: held, commands: [] })
    const other = { who: 'bob', why: 'looking', sinceMs: 995_000 }
    expect(told(step(held, { ...INPUT.desired, pausedBy: other }))).toEqual([
      { kind: 'report', report: { kind: 'paused_by', decision: other } },
    ])
  })
})

describe('what an operator asks of this node', () => {
  const REQUEST = { id: 'r', operation: 'rebuild', who: 'ann', why: 'wrong sums', sinceMs: 990_000 } as const
  const ASKING = { ...RESUMED, isNews: false, asked: REQUEST } as const
  const UNDONE = { kind: 'fulfilled', unit: undefined } as const
  const kinds = ({ commands }: ReturnType<typeof step>) =>
    commands.filter(({ kind }) => kind !== 'report').map(({ kind }) => kind)

  test.each(['following', 'resting', 'paused'] as const)('is done at once while it is %s', (phase) => {
    expect(step(STANDING[phase], ASKING).commands).toEqual([
      { kind: 'fulfil', request: REQUEST, incarnation: READING.incarnation },
    ])
  })

  test.each([
    ['opening', INPUT.opened],
    ['loading', INPUT.loaded],
    ['applying', INPUT.applied],
  ] as const)('is done once what is at hand is answered, while it is %s', (phase, answer) => {
    const asked = step(STANDING[phase], ASKING)
    expect(kinds(asked)).toEqual([])
    // A page that was loaded meanwhile is handled first.
    const answered = step(asked.standing, answer)
    const then = phase === 'loading' ? step(answered.standing, INPUT.applied) : answered
    expect(kinds(then)).toEqual(['fulfil'])
  })

  test('is done while an operator has paused it, which it stays', () => {
    const held = step(STANDING.following, INPUT.desired).standing
    const asked = step(held, { ...ASKING, pausedBy: BY })
    expect(kinds(asked)).toEqual(['fulfil'])
    const { standing, commands } = step(asked.standing, INPUT.fulfilled)
    expect(standing).toMatchObject({ phase: 'paused', pausedBy: BY, checkpoint: { position: undefined } })
    expect(commands).toEqual([])
  })

  test('begins it anew: nothing counts against what comes, and the checkpoint is read again', () => {
    const failing = { ...STANDING.paused, narrowed: NARROWEST }
    const asked = step(failing, ASKING).standing
    const { standing, commands } = step(asked, INPUT.fulfilled)
    expect(commands.at(-1)).toMatchObject({ kind: 'open' })
    expect(standing).toMatchObject({
      checkpoint: { position: undefined },
      cursor: undefined,
      narrowed: undefined,
      attempts: 0,
      pause: undefined,
      asked: undefined,
    })
  })

  test('is tried again with each look, until it is told no more', () => {
    const tried = step(STANDING.following, ASKING).standing
    expect(kinds(step(tried, ASKING))).toEqual([])
    const undone = step({ ...tried, cursor: 8n, checkpoint: { position: 8n, skipped: {} } }, UNDONE)
    expect(undone.standing).toMatchObject({ phase: 'following', asked: REQUEST })
    expect(kinds(undone)).toEqual([])
    expect(kinds(step(undone.standing, ASKING))).toEqual(['fulfil'])
    const over = step(undone.standing, { ...ASKING, asked: undefined })
    expect(over).toMatchObject({ standing: { asked: undefined }, commands: [] })
  })

  test('lets what is paused until a restart stay so, where nothing came of it', () => {
    const { failure } = STANDING.paused
    if (failure === undefined) throw new Error('a paused projection has a failure')
    const forGood = { ...STANDING.paused, failure: { ...failure, nextTryAtMs: undefined } }
    const undone = step(step(forGood, ASKING).standing, UNDONE)
    expect(undone).toMatchObject({ standing: { phase: 'paused', shows: 'paused' }, commands: [] })
    expect(kinds(step(step(forGood, ASKING).standing, INPUT.fulfilled))).toEqual(['open'])
  })

  test('to skip waits for a mark, and does not let what is paused until a restart be tried before that', () => {
    const { failure, pause } = STANDING.paused
    if (failure === undefined || pause === undefined) throw new Error('a paused projection has a failure')
    const batch = { firstPosition: '6', lastPosition: '6', events: 1, eventTypes: [] }
    const burial = { stage: 'handle', error: PAUSED_FOR.error, batch, tries: ATTEMPTS } as const
    const forGood = {
      ...STANDING.paused,
      failure: { ...failure, nextTryAtMs: undefined },
      failing: { to: 6n, evidence: READING, burial },
    }
    const asked = { ...REQUEST, operation: 'skip', position: '6' } as const
    const waiting = step(forGood, { ...ASKING, asked }, { reading: undefined })
    expect(waiting).toMatchObject({ standing: { phase: 'paused', shows: 'paused' }, commands: [] })
    expect(step(waiting.standing, { ...ASKING, asked }).commands).toMatchObject([
      { kind: 'fulfil', skip: { from: 5n, to: 6n, burial: { by: { who: 'ann', why: 'wrong sums' } } } },
    ])
  })

  test('is left to whoever works on it, by one that stands by: it takes over at the next look', () => {
    const first = step(STANDING.unowned, ASKING)
    expect(kinds(first)).toEqual([])
    const second = step(first.standing, ASKING)
    expect(kinds(second)).toEqual(['hurry'])
    expect(kinds(step(second.standing, INPUT.granted))).toEqual(['fulfil'])
  })

  test('is not begun at the end', () => {
    const asked = step(STANDING.applying, ASKING).standing
    const stopping = step(asked, INPUT.stop).standing
    expect(kinds(step(stopping, INPUT.applied))).toEqual(['end'])
  })
})
