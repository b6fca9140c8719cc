import {
  EventMappingError,
  InvalidOptionError,
  StoreRewoundError,
  TidemarkError,
  WaitFailedError,
} from '@tidemark/core'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { describeError } from '../../packages/core/src/kernel/describe-error.ts'
import { messageOf } from '../../packages/core/src/kernel/errors.ts'
import { errorJson, toJson } from '../../packages/core/src/kernel/json.ts'
import { rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const written = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

class OddError extends TidemarkError {
  readonly code = 'TIDEMARK_ODD'
  readonly position = 12n
  readonly seen = new Map<unknown, unknown>([['at', new Set([1n, new Date(0)])]])
  readonly spoilt = Number.NaN
}

function circular(): Error {
  const error = new Error('round and round')
  error.cause = new Error('its cause', { cause: error })
  return error
}

const throwing = (): Error =>
  Object.defineProperties(new Error('told'), {
    toJSON: {
      enumerable: true,
      value: () => {
        throw new Error('no JSON')
      },
    },
    secret: {
      enumerable: true,
      get: () => {
        throw new Error('no field')
      },
    },
  })

describe('an error of Tidemark as JSON', () => {
  test('has name, message, code, stack, its own fields and its causes', () => {
    const cause = new TypeError('no JSON', { cause: 'a text' })
    expect(written(new EventMappingError('41', cause, 'Deposited'))).toEqual({
      name: 'EventMappingError',
      code: 'TIDEMARK_EVENT_MAPPING',
      message: 'the event at position 41 could not be mapped: no JSON',
      position: '41',
      eventType: 'Deposited',
      events: 1,
      stack: expect.stringContaining('json.test.ts'),
      cause: {
        name: 'TypeError',
        message: 'no JSON',
        stack: expect.stringContaining('TypeError: no JSON'),
        cause: { name: 'string', message: 'a text' },
      },
    })
  })

  test('keeps bigints, maps, sets, dates and what is no number as texts and lists', () => {
    expect(written(new OddError('odd'))).toMatchObject({
      position: '12',
      seen: { at: ['1', '1970-01-01T00:00:00.000Z'] },
      spoilt: 'NaN',
    })
  })

  test.each([
    ['is a circle', circular(), { message: 'round and round', cause: { message: 'its cause' } }],
    ['throws when it is asked', throwing(), { message: 'told' }],
    [
      'has parts',
      new AggregateError([new Error('one'), 2n], 'both'),
      { errors: [{ message: 'one' }, { name: 'bigint', message: '2' }] },
    ],
    ['is null', null, { name: 'null', message: 'null' }],
    [
      'has a message that is no text',
      Object.assign(new Error(), { message: undefined }),
      { message: 'undefined' },
    ],
    [
      'has no prototype',
      Object.assign(Object.create(null), { left: 1n }),
      { name: 'object', message: '{"left":"1"}' },
    ],
  ])('survives a cause that %s', (_, cause, expected) => {
    const error = new WaitFailedError('it waits no longer', { cause })
    expect(written(error)).toMatchObject({ cause: expected })
    expect(describeError(error)).toContain('it waits no longer')
  })

  test('tells errors of all kinds', () => {
    for (const error of [new InvalidOptionError('name', 'a text', 12n), new StoreRewoundError('behind')]) {
      expect(written(error)).toMatchObject({ code: error.code, message: error.message })
    }
  })
})

test('whatever is thrown has a message, a description and a JSON, and none of them throws', () => {
  const anything = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withTypedArray: true,
    withObjectString: true,
  })
  fc.assert(
    fc.property(anything, fc.boolean(), (value, isCause) => {
      const thrown = isCause ? new Error('outer', { cause: value }) : value
      expect(typeof messageOf(thrown)).toBe('string')
      expect(typeof describeError(thrown)).toBe('string')
      expect(written(errorJson(thrown))).toMatchObject({
        name: expect.any(String),
        message: expect.any(String),
      })
      JSON.stringify(toJson(thrown))
    }),
  )
})

describe('status() as JSON', () => {
  test('has positions as the texts that checkpoints have, and the failure with its error', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 3; i++) events.append('Deposited', i)
    const running = daemon([
      {
        name: 'broken',
        attempts: 1,
        batchSize: 2,
        handle: ([event]) => {
          if (event?.position === 3n) throw circular()
        },
      },
    ])
    await running.start()
    await clock.until(() => running.status().projections[0]?.state === 'paused')
    const status = running.status()
    expect(written(status)).toMatchObject({
      highWater: { state: 'polling', head: '3', settled: '3', mark: '3', gaps: [] },
      projections: [
        {
          name: 'broken',
          state: 'paused',
          position: '2',
          lagPositions: '1',
          error: { name: 'Error', message: 'round and round', stack: expect.any(String) },
          failure: {
            stage: 'handle',
            batch: { firstPosition: '3', lastPosition: '3', eventTypes: ['Deposited'] },
          },
        },
      ],
    })
    expect(written(status.highWater)).toMatchObject({ mark: '3' })
    expect(written(status.projections[0])).toMatchObject({ position: '2' })
    expect(Object.keys(status.highWater)).not.toContain('toJSON')
  })

  test.each([
    ['undefined', undefined],
    ['null', null],
    ['string', 'just a text'],
    ['bigint', 7n],
  ])('shows that something failed also where %s was thrown', async (kind, thrown) => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([
      {
        name: 'odd',
        attempts: 1,
        handle: () => {
          throw thrown
        },
      },
    ])
    await running.start()
    await clock.until(() => running.status().projections[0]?.state === 'paused')
    expect(written(running.status().projections[0])).toMatchObject({
      error: { name: kind, message: String(thrown) },
      failure: { stage: 'handle' },
    })
  })

  test('has open gaps and holders', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([{ name: 'all', handle: () => {} }])
    await running.start()
    await clock.run(running.waitUntilProjected())
    const open = events.begin()
    open.append('a', 2)
    events.append('a', 3)
    await clock.until(() => running.status().highWater.gaps.length > 0)
    expect(written(running.status().highWater)).toMatchObject({ gaps: [{ from: '2', to: '2' }], mark: '1' })
  })
})
