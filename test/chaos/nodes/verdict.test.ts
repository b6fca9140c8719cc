import { expect, test } from 'vitest'
import type { Row } from '../oracle.ts'
import { type Account, faultsOf, type Letter } from './verdict.ts'

/** Two keys in turn. */
const committed: readonly Row[] = Array.from({ length: 6 }, (_, n) => ({
  position: String(n + 1),
  id: `a${n % 2}-${n}`,
}))
const at = (...positions: number[]): Row[] =>
  positions.map((position) => committed[position - 1] ?? { position: String(position), id: 'a0-none' })

const letter = (position: number, more: Partial<Letter> = {}): Letter => ({
  position: String(position),
  stage: 'handle',
  message: 'chaos: poison',
  code: null,
  isRetried: false,
  ...more,
})

const account = (more: Partial<Account>): Account => ({
  name: 'all',
  policy: 'skip',
  isInShards: false,
  committed,
  arrived: committed,
  letters: [],
  counted: more.letters?.length ?? 0,
  ...more,
})

test.each<[string, Partial<Account>, Record<string, readonly string[]>]>([
  ['each once and in order', {}, {}],
  ['one is missing', { arrived: at(1, 2, 4, 5, 6) }, { lost: ['3'] }],
  ['one came twice', { arrived: at(1, 2, 2, 3, 4, 5, 6) }, { duplicated: ['2'] }],
  ['one came too late', { arrived: at(1, 3, 2, 4, 5, 6) }, { 'out of order': ['2'] }],
  [
    'one was never committed',
    { arrived: at(1, 2, 3, 4, 5, 6, 7) },
    { 'not committed, or given up besides': ['7'] },
  ],
  ['one was given up', { arrived: at(1, 2, 4, 5, 6), letters: [letter(3)] }, {}],
  [
    'one was given up, and handled',
    { letters: [letter(3)] },
    { 'not committed, or given up besides': ['3'] },
  ],
  [
    'one was given up and retried later',
    { arrived: at(1, 2, 4, 5, 6, 3), letters: [letter(3, { isRetried: true })] },
    {},
  ],
  [
    'one came before an event of another key, and they are in shards',
    { isInShards: true, arrived: at(2, 1, 3, 4, 5, 6) },
    {},
  ],
  [
    'one came before an event of its key, and they are in shards',
    { isInShards: true, arrived: at(1, 2, 5, 3, 4, 6) },
    { 'out of order': ['3'] },
  ],
  [
    'one was given up and retried later, and they are in shards',
    { isInShards: true, arrived: at(1, 2, 4, 5, 6, 3), letters: [letter(3, { isRetried: true })] },
    {},
  ],
  [
    'one was given up and never retried, though its letter says so',
    { arrived: at(1, 2, 4, 5, 6), letters: [letter(3, { isRetried: true })] },
    { lost: ['3'] },
  ],
  [
    'one is given up of which the checkpoint does not know',
    { arrived: at(1, 2, 4, 5, 6), letters: [letter(3)], counted: 0 },
    { 'counted otherwise than given up': ['0, and there are 1 dead letters'] },
  ],
  [
    'one was given up though nothing was wrong with it',
    { arrived: at(1, 2, 4, 5, 6), letters: [letter(3, { message: 'deadlock detected', code: '40P01' })] },
    { 'given up without a cause': ['3: handle, 40P01, deadlock detected'] },
  ],
  [
    'a key was parked, and retried in its order',
    {
      policy: 'park_key',
      arrived: at(1, 2, 4, 6, 3, 5),
      letters: [letter(3, { isRetried: true }), letter(5, { stage: 'parked', isRetried: true })],
    },
    {},
  ],
  [
    'a key was parked, and its later event came first',
    { policy: 'park_key', arrived: at(1, 2, 4, 5, 6, 3), letters: [letter(3, { isRetried: true })] },
    { 'out of order in its key': ['3'] },
  ],
])('%s', (_, given, faults) => {
  expect(faultsOf(account(given))).toEqual(faults)
})
