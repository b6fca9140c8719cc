import { expect, test } from 'vitest'
import { type Commit, commitsOfOthers } from './owners.ts'

const WHOLE: Commit = {
  projection: 'all',
  version: 1,
  slotFrom: 0,
  slotTo: 1_023,
  fence: 1n,
  owner: 'a',
  process: 'a',
  slots: [0],
}
const by = (process: string, fence: bigint, more: Partial<Commit> = {}): Commit => ({
  ...WHOLE,
  owner: process,
  process,
  fence,
  ...more,
})
const HALF = { slotFrom: 0, slotTo: 511 }
const OTHER_HALF = { slotFrom: 512, slotTo: 1_023, slots: [700] }

test.each<[string, readonly Commit[]]>([
  ['one owner', [by('a', 1n), by('a', 1n)]],
  ['a takeover', [by('a', 1n), by('b', 2n), by('b', 2n), by('a', 3n)]],
  ['another unit has the fence', [by('a', 1n), by('b', 1n, { projection: 'second' })]],
  ['another version of it has', [by('a', 5n), by('b', 1n, { version: 2 })]],
  ['another shard has', [by('a', 4n, HALF), by('b', 2n, OTHER_HALF), by('a', 4n, HALF)]],
  ['shards that were made of it', [by('a', 4n), by('b', 5n, HALF), by('a', 5n, OTHER_HALF), by('c', 6n)]],
  ['nobody else has it, though it was given back', [by('a', 1n, { owner: null })]],
])('nothing is wrong with %s', (_, commits) => {
  expect(commitsOfOthers(commits)).toEqual([])
})

test.each<[string, readonly Commit[], string]>([
  ['a former owner has committed', [by('a', 1n), by('b', 2n), by('a', 1n)], 'b had committed with fence 2'],
  ['two have one fence', [by('a', 1n), by('b', 1n)], 'a has that fence too'],
  ['another one was the owner', [by('a', 1n, { owner: 'b' })], 'its owner was b'],
  [
    'whoever had the whole has committed after it was cut',
    [by('a', 4n), by('b', 5n, HALF), by('a', 4n)],
    'b had committed with fence 5',
  ],
  [
    'a shard was cut, and has committed all the same',
    [by('b', 5n), by('a', 4n, OTHER_HALF)],
    'b had committed with fence 5',
  ],
  ["it handled another shard's events", [by('a', 1n, { ...HALF, slots: [3, 700] })], 'the slots 3,700'],
])('%s', (_, commits, told) => {
  expect(commitsOfOthers(commits)).toEqual([expect.stringContaining(told)])
})
