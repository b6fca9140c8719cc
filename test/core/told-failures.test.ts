import { describe, expect, test } from 'vitest'
import type { Failures, NewFailure } from '../../packages/core/src/ports/failures.ts'
import { wholeUnit } from '../../packages/core/src/ports/unit.ts'
import {
  isToBeTold,
  type SeenFailure,
  ToldFailures,
} from '../../packages/core/src/projection/told-failures.ts'
import { FakeClock } from '../support/fake-clock.ts'

describe('a failure is told', () => {
  const last = { what: 'boom at 7', atMs: 10_000 }
  const again = { what: 'boom at 7', isPause: false }
  const other = { what: 'bang at 7', isPause: false }

  test('at once where nothing was told before', () => {
    expect(isToBeTold(undefined, again, 0)).toBe(true)
  })

  test('again after 10 s where it is the same', () => {
    expect(isToBeTold(last, again, 19_999)).toBe(false)
    expect(isToBeTold(last, again, 20_000)).toBe(true)
  })

  test('after a second where it is another, or nothing failed in between', () => {
    expect(isToBeTold(last, other, 10_999)).toBe(false)
    expect(isToBeTold(last, other, 11_000)).toBe(true)
    expect(isToBeTold({ what: undefined, atMs: 10_000 }, again, 10_999)).toBe(false)
    expect(isToBeTold({ what: undefined, atMs: 10_000 }, again, 11_000)).toBe(true)
  })

  test('at once where it is a pause: nothing may follow for minutes', () => {
    expect(isToBeTold(last, { ...other, isPause: true }, 10_001)).toBe(true)
    expect(isToBeTold(last, { ...again, isPause: true }, 10_001)).toBe(false)
  })
})

const UNIT = wholeUnit('orders')

function failing(message: string, more: Partial<SeenFailure> = {}): SeenFailure {
  const batch = { firstPosition: '7', lastPosition: '7', events: 1, eventTypes: ['Placed'] }
  return {
    position: '6',
    stage: 'handle',
    batch,
    error: new TypeError(message),
    isPaused: false,
    fence: undefined,
    ...more,
  }
}

/** A store that answers when it is told to, or at once. */
function rig({ isSlow = false } = {}) {
  const clock = new FakeClock()
  const told: (NewFailure | 'over')[] = []
  const warnings: string[] = []
  const answers: { resolve: () => void; reject: (error: Error) => void }[] = []
  const answered = (what: NewFailure | 'over'): Promise<void> => {
    told.push(what)
    return isSlow ? new Promise((resolve, reject) => answers.push({ resolve, reject })) : Promise.resolve()
  }
  const failures: Failures = {
    tell: answered,
    over: () => answered('over'),
    list: async () => [],
  }
  const stop = new AbortController()
  const telling = new ToldFailures(
    {
      projection: { name: 'orders', unit: UNIT },
      checkpoints: { failures },
      clock,
      logger: { info: () => {}, warn: (line) => void warnings.push(line), error: () => {} },
    },
    stop.signal,
  )
  const messages = () => told.map((what) => (what === 'over' ? what : what.error.message))
  const counts = () => told.map((what) => (what === 'over' ? 0 : what.failures))
  return { clock, telling, told, warnings, answers, messages, counts, stop }
}

describe('what fails at a unit', () => {
  test('is told with where it failed, why, and how often since it was told before', async () => {
    const { clock, telling, told, counts } = rig()
    const error = Object.assign(new TypeError('boom', { cause: new Error('why') }), { code: 'E1', sum: 100 })
    telling.failed(failing('', { error, fence: 3n }))
    await clock.advance(5_000)
    for (let n = 0; n < 4; n++) telling.failed(failing('', { error, fence: 3n }))
    await clock.advance(5_000)
    telling.failed(failing('', { error, fence: 3n }))
    await clock.settle()
    expect(counts()).toEqual([1, 5])
    expect(told[1]).toEqual({
      unit: UNIT,
      position: '6',
      stage: 'handle',
      batch: { firstPosition: '7', lastPosition: '7', events: 1, eventTypes: ['Placed'] },
      error: {
        name: 'TypeError',
        message: 'boom',
        code: 'E1',
        stack: error.stack,
        cause: { name: 'Error', message: 'why', stack: expect.any(String) },
      },
      isPaused: false,
      node: expect.stringMatching(/\/\d+$/),
      failures: 5,
      fence: 3n,
    })
  })

  test('is told once a second at most where it fails and goes well in turn, and that it is over as often', async () => {
    const { clock, telling, messages } = rig()
    for (let n = 0; n < 30; n++) {
      telling.failed(failing('boom'))
      await clock.advance(50)
      telling.over('6')
      await clock.advance(50)
    }
    expect(messages()).toEqual(['boom', 'over', 'boom', 'over', 'boom', 'over'])
  })

  test('is told one at a time: of what comes meanwhile, the newest', async () => {
    const { clock, telling, messages, counts, answers } = rig({ isSlow: true })
    telling.failed(failing('first'))
    await clock.advance(2_000)
    telling.failed(failing('second'))
    await clock.advance(2_000)
    telling.failed(failing('third'))
    await clock.settle()
    expect(messages()).toEqual(['first'])
    answers[0]?.resolve()
    await clock.settle()
    expect(messages()).toEqual(['first', 'third'])
    expect(counts()).toEqual([1, 2])
  })

  test('is not told to be over where it was never told', async () => {
    const { clock, telling, told } = rig()
    telling.over('6')
    await clock.settle()
    expect(told).toEqual([])
  })

  test('is not told to be over where the checkpoint has moved, which says so itself', async () => {
    const { clock, telling, messages } = rig()
    telling.failed(failing('boom'))
    telling.over('7')
    await clock.settle()
    expect(messages()).toEqual(['boom'])
  })

  test('is left to another owner that has it now', async () => {
    const { clock, telling, messages } = rig()
    telling.failed(failing('boom'))
    telling.forget()
    telling.over('6')
    await clock.settle()
    expect(messages()).toEqual(['boom'])
  })

  test('is told again where that has failed, which is said once a minute and stops nothing', async () => {
    const { clock, telling, counts, answers, warnings } = rig({ isSlow: true })
    for (let n = 0; n < 3; n++) {
      telling.failed(failing('boom'))
      await clock.advance(1_000)
      answers[n]?.reject(new Error('permission denied'))
      await clock.settle()
    }
    expect(counts()).toEqual([1, 2, 3])
    expect(warnings).toEqual([
      'tidemark: projection "orders": what fails there cannot be kept with its checkpoint, so other processes do not see it: ' +
        'permission denied; its work does not depend on it',
    ])
  })

  test('is told no more once its process is to end', async () => {
    const { clock, telling, messages, answers, warnings, stop } = rig({ isSlow: true })
    telling.failed(failing('first'))
    await clock.advance(2_000)
    telling.failed(failing('second'))
    stop.abort()
    answers[0]?.reject(new Error('given up'))
    await telling.ended()
    expect(messages()).toEqual(['first'])
    expect(warnings).toEqual([])
  })
})
