import { LateEventsError } from '@tidemark/core'
import { denseOrder, passedLateEvents, wholeUnit } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'

const progress = [
  { unit: wholeUnit('behind'), position: 4n },
  { unit: wholeUnit('between'), position: 7n },
  { unit: wholeUnit('beyond'), position: 20n },
  { unit: wholeUnit('new'), position: undefined },
  { unit: undefined, position: undefined, settled: 30n },
]

test('a projection has passed the late events at or below its checkpoint', () => {
  expect(passedLateEvents(denseOrder, progress, [5n, 7n, 9n])).toEqual([
    { projection: 'between', checkpoint: '7', positions: ['5', '7'] },
    { projection: 'beyond', checkpoint: '20', positions: ['5', '7', '9'] },
  ])
})

test('the error says what was seen, who has passed it and what to do', () => {
  const passed = passedLateEvents(denseOrder, progress, [5n])
  const { message } = new LateEventsError('events', [{ position: '5', type: 'Paid' }], passed, 'Do this.')
  expect(message).toBe(
    'events: an event became visible after the mark had passed: at 5 (Paid). A projection has missed those that it ' +
      'passed before they were visible: "between", at 7, has passed 5; "beyond", at 20, has passed 5. Do this.',
  )
})

test('of many events the error names the first ones, and keeps them all', () => {
  const events = Array.from({ length: 12 }, (_, n) => ({ position: String(n), type: undefined }))
  const error = new LateEventsError('events', events, [], 'Do this.')
  expect(error.message).toMatch(
    /^events: 12 events became visible .* at 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more\. No/,
  )
  expect(error.events).toHaveLength(12)
})
