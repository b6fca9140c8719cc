import { expect, test } from 'vitest'
import { scheduleOf } from './schedule.ts'

test('the same seed makes the same faults, and a longer run begins as a shorter one does', () => {
  const faults = scheduleOf(7, 120_000)
  expect(scheduleOf(7, 120_000)).toEqual(faults)
  expect(scheduleOf(7, 300_000).slice(0, faults.length)).toEqual(faults)
  expect(scheduleOf(8, 120_000)).not.toEqual(faults)
})

test('there is a fault each second, and each kind comes in half a minute', () => {
  const faults = scheduleOf(7, 120_000)
  expect(faults.map(({ atMs }) => atMs)).toEqual(Array.from({ length: 119 }, (_, n) => (n + 1) * 1_000))
  const kinds = new Set(faults.map(({ kind }) => kind))
  for (let from = 0; from < 90; from += 24) {
    expect(new Set(faults.slice(from, from + 24).map(({ kind }) => kind))).toEqual(kinds)
  }
})
