import type pg from 'pg'

/** One way to project the events of a table, measured by how many it handles in a second. */
export interface Contender {
  readonly name: string
  /** How many rounds it takes part in. */
  readonly rounds: number
  /** What is not measured: emptied tables, another index. */
  readonly prepare?: () => Promise<void>
  /** Projects `events` events, and resolves once the last one is committed with its checkpoint. */
  readonly run: () => Promise<{ readonly events: number; readonly seconds: number }>
}

/** Each round runs every contender once, beginning with another one each time, so that a slow spell hits all alike. */
export async function runInterleaved(
  contenders: readonly Contender[],
): Promise<ReadonlyMap<string, readonly number[]>> {
  const rates = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  const rounds = Math.max(...contenders.map((contender) => contender.rounds))
  for (let round = 0; round < rounds; round++) {
    const order = contenders.map((_, index) => contenders[(index + round) % contenders.length] as Contender)
    for (const contender of order) {
      if (round >= contender.rounds) continue
      await contender.prepare?.()
      const { events, seconds } = await contender.run()
      rates.get(contender.name)?.push(events / seconds)
      console.log(`  round ${round + 1}, ${contender.name}: ${Math.round(events / seconds)} events/s`)
    }
  }
  return rates
}

export async function timed(use: () => Promise<void>): Promise<number> {
  const startedMs = performance.now()
  await use()
  return (performance.now() - startedMs) / 1000
}

export async function emptyTables(pool: pg.Pool, tables: readonly string[]): Promise<void> {
  await pool.query(`truncate ${tables.join(', ')}`)
}

/** The same, and the most memory of its process that each run has taken beyond what was there before it. */
export function weighed(contender: Contender, peaks: Map<string, number[]>): Contender {
  return {
    ...contender,
    run: async () => {
      global.gc?.()
      const before = taken()
      let most = before
      const sampling = setInterval(() => {
        most = Math.max(most, taken())
      }, SAMPLED_EVERY_MS)
      try {
        return await contender.run()
      } finally {
        clearInterval(sampling)
        peaks.set(contender.name, [...(peaks.get(contender.name) ?? []), most - before])
      }
    },
  }
}

const SAMPLED_EVERY_MS = 10

/** With what is not collected yet: a process needs room for that too. */
function taken(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
