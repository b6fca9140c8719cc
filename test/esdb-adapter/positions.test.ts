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
    { commit: 2n ** 64n - 1n, prepare: 2n ** 64n - 2n },
    { commit: 2n ** 64n - 1n, prepare: 2n ** 64n - 1n },
  ]
  for (const [i, a] of ascending.entries())
    for (const [j, b] of ascending.entries()) expect(Math.sign(order.compare(a, b))).toBe(Math.sign(i - j))
})

test('the text of a position has both offsets, to the last digit', () => {
  const position = { commit: 18446744073709551615n, prepare: 18446744073709551614n }
  expect(order.format(position)).toBe('18446744073709551615/18446744073709551614')
  expect(order.parse(order.format(position))).toEqual(position)
})

test.each(['', '1', '1/', '/1', '01/1', '-1/1', '1/2/3', 'C:1/P:1', ' 1/1'])(
  'what is no position is not taken for one: %j',
  (text) => {
    expect(() => order.parse(text)).toThrow(TypeError)
  },
)

test('a distance in $all is not a number of events, so there is none', () => {
  expect(order).not.toHaveProperty('distance')
})
