import { type EsdbClient, esdbEvents } from '@tidemark/esdb-adapter'
import { expect, test } from 'vitest'

// Nothing is called.
const client = Object.fromEntries(
  ['readStream', 'readAll', 'subscribeToStream', 'subscribeToAll'].map((name) => [name, () => {}]),
) as unknown as EsdbClient
const { order } = esdbEvents({ client })

test('positions of $all are ordered by commit, then by prepare', () => {
  const ascending = [
    { commit: 0n, prepare: 0n },
    { commit: 9n, prepare: 8n },
    { commit: 9n, prepare: 9n },
    { commit: 10n, prepare: 1n },
    { commit: 2n ** 63n - 1n, prepare: 2n ** 63n - 2n },
    { commit: 2n ** 63n - 1n, prepare: 2n ** 63n - 1n },
  ]
  for (const [i, a] of ascending.entries())
    for (const [j, b] of ascending.entries()) expect(Math.sign(order.compare(a, b))).toBe(Math.sign(i - j))
})

test('the text of a position has both offsets, to the last digit', () => {
  const position = { commit: 9223372036854775807n, prepare: 9223372036854775806n }
  expect(order.format(position)).toBe('9223372036854775807/9223372036854775806')
  expect(order.parse(order.format(position))).toEqual(position)
})

test.each([
  ...['', '1', '1/', '/1', '01/1', '-1/1', '1/2/3', 'C:1/P:1', ' 1/1'],
  // What servers to 24.10.3 say where there is none.
  '18446744073709551615/18446744073709551615',
  '9223372036854775808/0',
])('what is no position is not taken for one: %j', (text) => {
  expect(() => order.parse(text)).toThrow(TypeError)
})

test('a distance in $all is not a number of events, so there is none', () => {
  expect(order).not.toHaveProperty('distance')
})
