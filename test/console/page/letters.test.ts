import { describe, expect, test } from 'vitest'
import { bulkChoice, filterWords, lookedFor } from '../../../packages/console/page/pure/letter-filter.ts'
import type { LetterGroupsAnswer } from '../../../packages/console/src/protocol.ts'

const looked = (search: string) => lookedFor(new URLSearchParams(search))

const counts = [
  { projection: 'orders', version: 1, open: 5, oldestAtMs: 0 },
  { projection: 'orders', version: 2, open: 2, oldestAtMs: 0 },
  { projection: 'mails', version: 1, open: 9, oldestAtMs: 0 },
]
const group = { oldestAtMs: 0, newestAtMs: 0, eventTypes: [] }
const groups: LetterGroupsAnswer = {
  groups: [
    { projection: 'orders', version: 1, error: 'Error: no', count: 3, ...group },
    { projection: 'orders', version: 2, error: 'Error: no', count: 2, ...group },
    { projection: 'orders', version: 1, error: 'Error: other', count: 2, ...group },
  ],
  looked: 7,
  isWhole: true,
}

test('what is looked for is said in words', () => {
  expect(filterWords(looked(''))).toBe('open dead letters of every projection')
  expect(filterWords(looked('projection=orders&version=2&type=Placed&error=Error: no&state=any'))).toBe(
    'dead letters of orders, version 2, with an event Placed, that failed with “Error: no”',
  )
})

test('an address that says what there is not is not heeded', () => {
  expect(looked('state=all&version=x')).toMatchObject({ state: 'open', version: '' })
})

describe('something can be done to several letters together', () => {
  test('of a projection, with how many of it are open', () => {
    expect(bulkChoice(looked('projection=orders'), groups, counts)).toEqual({
      filter: { projection: 'orders' },
      count: 7,
    })
    expect(bulkChoice(looked('projection=orders&version=2'), undefined, counts)).toEqual({
      filter: { projection: 'orders', version: 2 },
      count: 2,
    })
  })

  test('of an error, with how many have failed with it', () => {
    expect(bulkChoice(looked('projection=orders&version=1&error=Error: no'), groups, counts)).toEqual({
      filter: { projection: 'orders', version: 1, error: 'Error: no' },
      count: 3,
    })
  })

  test('never of every projection', () => {
    expect(bulkChoice(looked(''), groups, counts)).toBeUndefined()
    expect(bulkChoice(looked('type=Placed'), groups, counts)).toBeUndefined()
  })

  test('not where nobody knows how many they are', () => {
    const error = looked('projection=orders&error=Error: no')
    expect(bulkChoice(error, { ...groups, isWhole: false }, counts)).toBeUndefined()
    expect(bulkChoice(error, undefined, counts)).toBeUndefined()
  })

  test('not of closed ones, and not of none', () => {
    expect(bulkChoice(looked('projection=orders&state=any'), groups, counts)).toBeUndefined()
    expect(bulkChoice(looked('projection=gone'), groups, counts)).toBeUndefined()
  })
})
