import { expect, test } from 'vitest'
import { type Batch, misplacedAmong } from './oracle.ts'

const places = ({ places }: Batch): readonly number[] => places

function batch(...places: readonly number[]): Batch {
  return { places, first: places[0] ?? -1, next: (places.at(-1) ?? -1) + 1 }
}

test.each<[string, readonly Batch[]]>([
  ['the next', [batch(0, 1), batch(2), batch(3, 4)]],
  ['the same again', [batch(0, 1), batch(2), batch(2), batch(3)]],
  ['the same again, longer, for more had been appended', [batch(0, 1), batch(0, 1, 2), batch(3)]],
  [
    'the next of the first try, whose checkpoint came late, after a longer second try',
    [batch(0, 1), batch(0, 1, 2), batch(2, 3)],
  ],
  ['the next of the first try, after a shorter second try', [batch(0, 1, 2), batch(0), batch(3)]],
])('a batch may be %s', (_, batches) => {
  expect(misplacedAmong(batches)).toEqual([])
})

test.each<[string, readonly Batch[], readonly (readonly number[])[]]>([
  ['does not begin at the start', [batch(1), batch(2)], [[1]]],
  ['leaves out an event', [batch(0, 1), batch(3)], [[3]]],
  ['has a gap in it', [batch(0, 2), batch(3)], [[0, 2]]],
  ['is out of order', [batch(0, 2, 1), batch(2)], [[0, 2, 1]]],
  ['repeats what a later one stands behind', [batch(0, 1), batch(2), batch(0, 1)], [[0, 1]]],
  ['begins in the middle of another', [batch(0, 1, 2), batch(1, 2)], [[1, 2]]],
])('a batch that %s is misplaced', (_, batches, misplaced) => {
  expect(misplacedAmong(batches).map(places)).toEqual(misplaced)
})
