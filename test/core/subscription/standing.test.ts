import { CheckpointBeyondHeadError } from '@tidemark/core'
import { denseOrder } from '@tidemark/core/adapter'
import { describe, expect, test } from 'vitest'
import { describeDrop, isAbort, reasonOf } from '../../../packages/core/src/subscription/drop.ts'
import {
  type HeadFound,
  type HeadHistory,
  isQuiet,
  observe,
  phaseOf,
  resumeHeadHistory,
  startHeadHistory,
} from '../../../packages/core/src/subscription/head-history.ts'
import { dropped, ended, STARTED } from '../../../packages/core/src/subscription/lifecycle.ts'
import {
  checkpoint,
  deliver,
  processAll,
  startProgress,
} from '../../../packages/core/src/subscription/progress.ts'
import { type Standing, statusOf } from '../../../packages/core/src/subscription/standing.ts'
import { event } from './client-subscription.ts'

const START = startProgress<bigint>(undefined)
/** Events 0 to `count - 1` were handed over. */
const delivered = (count: number) => {
  let progress = START
  for (let position = 0n; position < count; position++) {
    progress = deliver(progress, event(position, { appendedAtMs: Number(position) }), denseOrder)
  }
  return progress
}

describe('readings of the head', () => {
  /** Each a second after the one before. */
  const readings = (...found: readonly (readonly [HeadFound<bigint>, typeof START])[]): HeadHistory<bigint> =>
    found.reduce<HeadHistory<bigint>>(
      (history, [each, progress], index) =>
        observe(history, each, { nowMs: index * 1_000, progress, order: denseOrder }),
      startHeadHistory(),
    )

  test('it has caught up with a head that has come, processed or not', () => {
    expect(phaseOf(readings([{ head: 2n }, delivered(3)]))).toBe('caught_up')
    expect(phaseOf(readings([{ head: undefined }, START]))).toBe('caught_up')
    expect(phaseOf(readings([{ head: 9n }, checkpoint(START, 9n, 1, denseOrder)]))).toBe('caught_up')
    expect(phaseOf(startHeadHistory())).toBeUndefined()
  })

  test('it has fallen behind once two readings say so: one may come of a node that is behind', () => {
    const ahead = [{ head: 5n }, delivered(3)] as const
    expect(phaseOf(readings(ahead))).toBeUndefined()
    expect(phaseOf(readings(ahead, ahead))).toBe('fell_behind')
    expect(phaseOf(readings(ahead, [{ head: 2n }, delivered(3)], ahead))).toBeUndefined()
  })

  test('everything was processed when the head was, or when nothing is left', () => {
    const all = processAll(delivered(3), denseOrder)
    expect(readings([{ head: 2n }, all]).processedAllAtMs).toBe(0)
    expect(readings([{ head: 2n }, all], [{ head: 3n }, all]).processedAllAtMs).toBe(0)
    expect(readings([{ head: 2n }, delivered(3)]).processedAllAtMs).toBeUndefined()
    expect(readings([{ head: 7n }, START], ['nothing left', START])).toEqual({
      head: 7n,
      readAtMs: 1_000,
      processedAllAtMs: 1_000,
      ahead: undefined,
    })
  })

  test('it is quiet while the head stands ahead and nothing arrives, and another subscription begins anew', () => {
    const ahead = (count: number) => [{ head: 9n }, delivered(count)] as const
    const quiet = readings(ahead(3), ahead(3))
    expect(isQuiet(quiet, 3, 4_999, 5_000)).toBe(false)
    expect(isQuiet(quiet, 3, 5_000, 5_000)).toBe(true)
    expect(isQuiet(quiet, 4, 5_000, 5_000), 'something has come').toBe(false)
    expect(isQuiet(readings(ahead(3), ahead(4)), 4, 5_999, 5_000)).toBe(false)
    expect(isQuiet(resumeHeadHistory(quiet), 3, 5_000, 5_000)).toBe(false)
  })
})

describe('status', () => {
  const standing = (parts: Partial<Standing<bigint>> = {}): Standing<bigint> => ({
    nowMs: 60_000,
    order: denseOrder,
    progress: processAll(delivered(3), denseOrder),
    head: { head: 9n, readAtMs: 59_000, processedAllAtMs: undefined, ahead: undefined },
    group: undefined,
    lifecycle: STARTED,
    consumption: 'iterated',
    isPersistent: false,
    isFiltered: false,
    isBuffered: false,
    beganAtEnd: false,
    startedAtMs: 0,
    headGoodForMs: 11_000,
    stallAfterMs: 30_000,
    ...parts,
  })
  const own = { projection: 'mailer', skipped: { truncated: 2n } }
  const drop = { reason: 'unavailable', error: new Error('gone') }

  test('says where it stands', () => {
    expect(statusOf(standing(), own)).toEqual({
      projection: 'mailer',
      state: 'catching_up',
      deliveredEvents: 3,
      processedEvents: 3,
      position: 2n,
      head: 9n,
      lagPositions: 7n,
      lagMs: 59_998,
      isStalled: false,
      group: undefined,
      skipped: { truncated: 2n },
      dropReason: undefined,
      error: undefined,
    })
  })

  test('knows no lag, stall or group once all is over, and the position still', () => {
    const { lifecycle } = ended(STARTED, 'end')
    const group = {
      isLive: true,
      checkpoint: 1n,
      lastKnown: 5n,
      parked: 0n,
      outstanding: 0,
      consumers: [],
    }
    expect(statusOf(standing({ isPersistent: true, group }), own)).toMatchObject({ lagPositions: 4n, group })
    for (const parts of [{}, { isPersistent: true, group }]) {
      expect(statusOf(standing({ lifecycle, ...parts }), own)).toMatchObject({
        state: 'ended',
        position: 'group' in parts ? 1n : 2n,
        lagPositions: undefined,
        lagMs: undefined,
        isStalled: undefined,
        group: undefined,
      })
    }
  })

  test('between two subscriptions it says why, and how far behind it is', () => {
    const { lifecycle } = dropped(STARTED, drop, true)
    expect(statusOf(standing({ lifecycle }), own)).toMatchObject({
      state: 'dropped',
      dropReason: 'unavailable',
      error: drop.error,
      lagPositions: 7n,
      isStalled: undefined,
    })
  })
})

describe('drops', () => {
  const source = { dropReason: () => 'unavailable' }

  test('have the reason that their source names, unless the checkpoint is beyond the head', () => {
    expect(reasonOf(new Error('gone'), source)).toBe('unavailable')
    expect(reasonOf(new CheckpointBeyondHeadError('mailer', '9', '5', 'it ends at 5'), source)).toBe(
      'checkpoint_beyond_head',
    )
  })

  test('come of no signal: that is how a consumer leaves', () => {
    const error = new Error('aborted')
    error.name = 'AbortError'
    expect(isAbort(error)).toBe(true)
    expect(isAbort(new Error('aborted'))).toBe(false)
    expect(isAbort({ name: 'AbortError' })).toBe(false)
  })

  test('are told with the reason and the error, or that there was none', () => {
    expect(describeDrop('mailer', 'unavailable', new Error('gone'))).toBe(
      'tidemark: the subscription of projection "mailer" ended (unavailable): gone',
    )
    expect(describeDrop('mailer', 'silent_end', undefined)).toContain('though nobody unsubscribed')
  })
})
