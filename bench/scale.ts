/**
 * `pnpm bench:scale`: what a poll and a page cost by the number of rows, of partitions, of open gaps, of rows and locks of transactions
 * that are open, and of projections; each with its exponent between the smallest and the largest. CPU is that of the one
 * backend that serves them, and hangs less on what else the machine does than times do.
 */

import { byProjections } from './scale/projections.ts'
import { byGaps, byLocks, byPartitions, byRows, byRowsInFlight } from './scale/sections.ts'
import { readCommandLine } from './support/command-line.ts'
import { withServer } from './support/environment.ts'

console.log('pnpm bench:scale')
const SECTIONS = ['rows', 'range', 'list', 'gaps', 'in-flight', 'locks', 'projections'] as const
const { times, looks, seconds, ...given } = readCommandLine(
  {
    times: 100,
    looks: 20,
    seconds: 10,
    'most-rows': 10_000_000,
    'most-partitions': 1_500,
    'partitioned-rows': 150_000,
    'most-gaps': 1_000_000,
    'most-in-flight': 2_000_000,
    'most-locks': 20_000,
    'most-projections': 500,
  },
  {
    times: 5,
    looks: 2,
    seconds: 1,
    'most-rows': 100_000,
    'most-partitions': 15,
    'partitioned-rows': 1_500,
    'most-gaps': 1_000,
    'most-in-flight': 1_000,
    'most-locks': 1_000,
    'most-projections': 10,
  },
  SECTIONS,
)
const often = { times, looks }
const isWanted = (section: (typeof SECTIONS)[number]): boolean =>
  given[section] || !SECTIONS.some((other) => given[other])

/** Those up to `most`, and `most` itself. */
function upTo(sizes: readonly number[], most: number): readonly number[] {
  return [...sizes.filter((size) => size < most), most]
}

await withServer(
  async (server) => {
    const partitions = upTo([1, 15, 150, 1_500], given['most-partitions'])
    if (isWanted('rows'))
      await byRows(server, upTo([100_000, 1_000_000, 10_000_000], given['most-rows']), often)
    for (const by of ['range', 'list'] as const) {
      if (isWanted(by)) await byPartitions(server, by, partitions, given['partitioned-rows'], often)
    }
    if (isWanted('gaps'))
      await byGaps(server, upTo([1, 1_000, 100_000, 1_000_000], given['most-gaps']), often)
    if (isWanted('in-flight')) {
      await byRowsInFlight(server, upTo([1, 1_000, 100_000, 2_000_000], given['most-in-flight']), often)
    }
    if (isWanted('locks')) await byLocks(server, upTo([1, 1_000, 20_000], given['most-locks']), often)
    if (isWanted('projections')) {
      await byProjections(server, upTo([1, 10, 100, 500], given['most-projections']), seconds)
    }
  },
  // 20,000 locks, and those of a page of 1,500 partitions with their indexes.
  { max_locks_per_transaction: '256' },
)
