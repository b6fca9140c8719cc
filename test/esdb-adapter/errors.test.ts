import {
  type EsdbClient,
  EsdbReaderUnavailableError,
  EsdbTimeoutError,
  esdbEvents,
  isTransientEsdbError,
} from '@tidemark/esdb-adapter'
import { describe, expect, test } from 'vitest'
import { clientName } from './client.ts'

const { ErrorType, ...classes } = await (clientName === 'kurrentdb'
  ? import('@kurrent/kurrentdb-client')
  : import('@eventstore/db-client'))

const PASSING = ['unavailable', 'timeout', 'deadline-exceeded', 'cancelled', 'not-leader', 'unknown']

// Nothing is called.
const { dropReason } = esdbEvents({
  client: Object.fromEntries(
    ['readStream', 'readAll', 'subscribeToStream', 'subscribeToAll'].map((name) => [name, () => {}]),
  ) as unknown as EsdbClient,
})

describe('errors of the client', () => {
  test.each(Object.values(ErrorType))('%s: passes or not, and has a reason for a label', (type) => {
    const error = clientError({ type })
    expect(isTransientEsdbError(error)).toBe(PASSING.includes(type))
    expect([type, 'unknown']).toContain(dropReason(error))
  })

  test('are told by what they are made of, not by their class', () => {
    const error = new classes.UnavailableError()
    expect(Object.keys(error)).toContain('_raw')
    expect(isTransientEsdbError(error)).toBe(true)
    expect(dropReason(error)).toBe('unavailable')
  })
})

test.each([
  ['a socket that is refused', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), true],
  ['a status of gRPC', Object.assign(new Error('13 INTERNAL'), { code: 13, details: 'RST_STREAM' }), true],
  ['a cluster of which no node answers', new Error('Failed to discover after 10 attempts.'), true],
  ['a channel that is closed', new Error('Channel has been shut down'), true],
  [
    'a node that stays unavailable to a client',
    new EsdbReaderUnavailableError('a poll', 'detail', new Error('no')),
    true,
  ],
  ['a server that hangs', new EsdbTimeoutError('a poll', 10), true],
  ["a handler's own error with a type", Object.assign(new Error('no'), { type: 'unavailable' }), false],
  ["a handler's own error with a number", Object.assign(new Error('no'), { code: 14 }), false],
  ['a mistake', new TypeError('undefined is not a function'), false],
  ['no error', undefined, false],
])('%s: passes by itself: %#', (_, error, isTransient) => {
  expect(isTransientEsdbError(error)).toBe(isTransient)
  expect(dropReason(error)).toBe('unknown')
})

function clientError(parts: { type: string }): Error {
  return Object.assign(new classes.UnknownError(), parts)
}
