import { denseOrder } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'
import { decideBy } from '../../packages/core/src/failures/on-failure.ts'
import { PastBound, requireWithinBound } from '../../packages/core/src/projection/bound.ts'
import type { Context, Input, Step } from '../../packages/core/src/projection/commands.ts'
import { next } from '../../packages/core/src/projection/machine.ts'
import { NOT_STARTED, type Standing } from '../../packages/core/src/projection/standing.ts'
import { VitalSigns } from '../../packages/core/src/projection/vitals.ts'
import { reading } from './rig.ts'

const READING = reading({ head: 8n, settled: 8n, mark: 8n })
const NOW_MS = 1_000_000

const CONTEXT: Context<bigint> = {
  nowMs: NOW_MS,
  order: denseOrder,
  reading: READING,
  policy: {
    attempts: 2,
    batchSize: 100,
    longestPauseMs: 60_000,
    decide: decideBy('pause', 'onFailure', undefined),
  },
  random: 0.5,
}

function standingAt(checkpoint: bigint, more: Partial<Standing<bigint>> = {}): Standing<bigint> {
  return {
    ...NOT_STARTED,
    phase: 'following',
    shows: 'catching_up',
    right: 'held',
    startedAt: { head: 8n },
    checkpoint: { position: checkpoint, skipped: {} },
    isCheckpointRead: true,
    checkpointedAtMs: NOW_MS,
    cursor: checkpoint,
    cursorIncarnation: READING.incarnation,
    ...more,
  }
}

const after = (standing: Standing<bigint>, input: Input<bigint, never>): Step<bigint, never> =>
  next<bigint, never>(standing, input, CONTEXT)

const DESIRED = {
  kind: 'desired',
  pausedBy: undefined,
  role: 'live',
  isNews: false,
  isRetryAsked: false,
  asked: undefined,
} as const

test('a shard that is to meet others loads no further than where', () => {
  const { commands } = after(standingAt(5n, { bound: 7n }), { kind: 'reading' })
  expect(commands).toMatchObject([{ kind: 'load', after: 5n, reading: { mark: 7n, settled: 8n } }])
})

test('a bound above the mark changes nothing', () => {
  const { commands } = after(standingAt(5n, { bound: 12n }), { kind: 'reading' })
  expect(commands).toMatchObject([{ kind: 'load', after: 5n, reading: { mark: 8n } }])
})

test('its checkpoint follows at once where nothing was found up to there', () => {
  const { standing, commands } = after(standingAt(5n, { bound: 7n, cursor: 7n }), { kind: 'reading' })
  expect(commands).toMatchObject([{ kind: 'checkpoint', from: 5n, to: 7n }])
  expect(standing.phase).toBe('applying')
})

test('there it waits, and is not said to be live', () => {
  const { standing, commands } = after(standingAt(7n, { bound: 7n }), { kind: 'reading' })
  expect(commands).toEqual([])
  expect(standing).toMatchObject({ phase: 'following', shows: 'catching_up' })
})

test('it goes on as soon as it is told that nothing binds it', () => {
  const { standing, commands } = after(standingAt(7n, { bound: 7n }), { ...DESIRED, bound: undefined })
  expect(commands).toMatchObject([{ kind: 'load', after: 7n, reading: { mark: 8n } }])
  expect(standing.bound).toBeUndefined()
})

test('a move beyond it is no failure: the checkpoint is read again, and tells the bound', () => {
  const moving = { to: 8n, page: undefined }
  const applying = standingAt(5n, { phase: 'applying', moving })
  const error = new PastBound('orders', '8', '7')
  const failed = after(applying, {
    kind: 'failed',
    stage: 'commit',
    error,
    batch: undefined,
    isTransient: false,
    events: [],
  })
  expect(failed.commands.map(({ kind }) => kind)).toEqual(['open'])
  expect(failed.standing).toMatchObject({ failuresInARow: 0, failure: undefined })
  const opened = after(failed.standing, {
    kind: 'opened',
    checkpoint: { position: 5n, skipped: {} },
    role: 'live',
    furthest: undefined,
    bound: 7n,
    incarnation: READING.incarnation,
  })
  expect(opened.commands).toMatchObject([{ kind: 'load', after: 5n, reading: { mark: 7n } }])
})

test('only a move beyond the bound of a locked row is refused', () => {
  const moved = (from: bigint, to: bigint, bound: string | undefined) => () =>
    requireWithinBound(denseOrder, 'orders', { from, to }, { role: 'live', furthest: undefined, bound })
  expect(moved(5n, 8n, '7')).toThrow(PastBound)
  expect(moved(5n, 7n, '7')).not.toThrow()
  expect(moved(5n, 8n, undefined)).not.toThrow()
  // A dead letter is retried where the checkpoint stands.
  expect(moved(8n, 8n, '7')).not.toThrow()
})

test('what waits behind its bound is not waited for, so that nobody takes it to be dead', () => {
  const vitals = new VitalSigns<bigint>(denseOrder, 0)
  const agent = { mark: 8n, firstSeenAboveMs: () => 5 }
  expect(vitals.tell(standingAt(7n, { bound: 7n }), agent).waitingSinceMs).toBeUndefined()
  expect(vitals.tell(standingAt(7n), agent).waitingSinceMs).toBe(5)
  expect(vitals.tell(standingAt(6n, { bound: 7n }), agent).waitingSinceMs).toBe(5)
})
