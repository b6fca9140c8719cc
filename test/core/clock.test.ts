import { expect, test } from 'vitest'
import { systemClock } from '../../packages/core/src/kernel/clock.ts'

const timers = (): number =>
  process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length

test('a sleep that is cut short ends at once and leaves no timer and no listener', async () => {
  const before = timers()
  const stop = new AbortController()
  const sleep = systemClock.sleep(3_600_000, stop.signal)
  expect(timers()).toBe(before + 1)
  stop.abort()
  await sleep
  expect(timers()).toBe(before)
})

test('a sleep under a signal that has already fired does not start a timer', async () => {
  const before = timers()
  await systemClock.sleep(3_600_000, AbortSignal.abort())
  expect(timers()).toBe(before)
})

test('a sleep longer than a timer can be does not end at once', async () => {
  const stop = new AbortController()
  let over = false
  const sleep = systemClock.sleep(1e12, stop.signal).then(() => {
    over = true
  })
  await systemClock.sleep(20, stop.signal)
  expect(over).toBe(false)
  stop.abort()
  await sleep
})

test('time never goes back', () => {
  let before = systemClock.nowMs()
  for (let i = 0; i < 1_000; i++) {
    const now = systemClock.nowMs()
    expect(now).toBeGreaterThanOrEqual(before)
    before = now
  }
  expect(Math.abs(before - Date.now())).toBeLessThan(60_000)
})
