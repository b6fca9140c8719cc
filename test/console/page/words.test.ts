import { describe, expect, test } from 'vitest'
import { changeWords } from '../../../packages/console/page/pure/change-words.ts'
import { skippedWords } from '../../../packages/console/page/pure/skipped.ts'
import { ago, local, utc } from '../../../packages/console/page/pure/times.ts'
import { wholeNumber } from '../../../packages/console/page/pure/whole-number.ts'
import { count, duration, listed, perSecond, position } from '../../../packages/console/page/pure/words.ts'

const AT = Date.UTC(2026, 10, 30, 23, 30, 5)

test('a time is said in the unit that people would use', () => {
  const times = [-5, 0, 999, 1_000, 119_000, 120_000, 7_200_000, 200_000_000]
  expect(times.map(duration)).toEqual(['0 ms', '0 ms', '999 ms', '1 s', '119 s', '2 min', '2 h', '2 d'])
})

test('numbers are grouped, and one of a thing is said as one', () => {
  expect([count(0, 'gap'), count(1, 'gap'), count(1_204n, 'gap')]).toEqual(['0 gaps', '1 gap', '1,204 gaps'])
})

test('a position that is larger than a number of JavaScript keeps each digit', () => {
  expect(position('9007199254740993')).toBe('9,007,199,254,740,993')
})

test('a position that is no number is shown as it is, and one that is not there as a dash', () => {
  expect([position('<b>1</b>'), position(null), position(undefined)]).toEqual(['<b>1</b>', '–', '–'])
})

test('a slow rate keeps a digit, a fast one does not', () => {
  expect([0, 0.04, 0.44, 9.96, 12.3, 1_204.4].map(perSecond)).toEqual([
    '0/s',
    '0/s',
    '0.4/s',
    '10/s',
    '12/s',
    '1,204/s',
  ])
})

test('of many names the first are listed, and how many there are besides; one more is never said', () => {
  expect(listed([])).toBe('')
  expect(listed(['a'])).toBe('a')
  expect(listed(['a', 'b', 'c', 'd'])).toBe('a, b, c and d')
  expect(listed(['a', 'b', 'c', 'd', 'e'])).toBe('a, b, c and 2 more')
})

describe('a moment', () => {
  test('is shown in the zone of the viewer, with the day where it is another one there', () => {
    expect(local(AT, AT, 'UTC')).toBe('23:30:05')
    expect(local(AT, AT + 3_600_000, 'UTC')).toBe('2026-11-30 23:30:05')
    // In Berlin both are of the same day, which is the next one.
    expect(local(AT, AT + 3_600_000, 'Europe/Berlin')).toBe('00:30:05')
  })

  test('is told in UTC beside it', () => {
    expect(utc(AT)).toBe('2026-11-30 23:30:05 UTC')
  })

  test('in the near future, by another clock, is now', () => {
    expect([ago(AT + 400, AT), ago(AT - 12_000, AT)]).toEqual(['just now', '12 s ago'])
  })
})

test('what is typed as a whole number may be grouped; anything else is none', () => {
  expect(['1204', ' 1,204 ', '1 204', '1_204_005'].map(wholeNumber)).toEqual([
    '1204',
    '1204',
    '1204',
    '1204005',
  ])
  expect(['', '2.5', '1,2', '-1', '1e3', '12345678901234567890'].map(wholeNumber)).toEqual(
    Array.from({ length: 6 }, () => undefined),
  )
})

test('what was skipped is told by reason', () => {
  expect(skippedWords({})).toBe('0')
  expect(skippedWords({ apply_error: '2', moved: '1200', truncated: '0' })).toBe(
    '2 (apply error), 1,200 (moved)',
  )
})

test('what an operation has changed is told as from and to', () => {
  const before = { role: 'live', desired: 'running', position: '7', lateEvents: null } as const
  expect(changeWords(before, { ...before, desired: 'paused' })).toBe('running → paused')
  expect(changeWords(before, { ...before, position: null })).toBe('position 7 → –')
  expect(changeWords(before, before)).toBe('done')
  expect(changeWords(before, null)).toBe('its checkpoint was deleted')
})
