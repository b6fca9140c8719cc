import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../core/model/random.ts'
import { type Client, client } from '../client.ts'
import type { ChaosRig } from './rig.ts'

/** An application that appends to many streams, through a client that fails as the daemon's does. */
export interface Writer {
  /** Resolves when that many more events were acknowledged. */
  append(count: number): Promise<void>
  /** Appends one more event, and resolves to its id. */
  appendOne(): Promise<string>
  /** The ids of those events. What was appended without an acknowledgement stands in the log besides. */
  readonly acknowledged: ReadonlySet<string>
}

const TRY_AGAIN_AFTER_MS = 50
const MOST_TRIES = 600

const STREAMS = ['orders', 'orders', 'orders', 'customer-1', 'customer-2', 'other']

/** One append after another: see `lastAppend` in packages/esdb-adapter/src/checkpoints.ts. */
export function startWriter(rig: ChaosRig, random: Random): Writer {
  const db = rig.connect()
  const acknowledged = new Set<string>()
  const append = (size: number): Promise<readonly string[]> =>
    appendBatch(rig, db, random, size, acknowledged)
  return {
    acknowledged,
    append: async (count) => {
      for (let left = count; left > 0; ) left -= (await append(Math.min(left, 1 + random.below(20)))).length
    },
    appendOne: async () => {
      const [id = ''] = await append(1)
      return id
    },
  }
}

async function appendBatch(
  { server }: ChaosRig,
  db: Client,
  random: Random,
  size: number,
  acknowledged: Set<string>,
): Promise<readonly string[]> {
  const stream = random.pick(STREAMS) ?? 'orders'
  // As older clients wrote: the events share a commit position.
  const isTransaction = random.chance(0.1)
  // Records of which no projection hears.
  if (random.chance(0.05)) await server.writeStatistics()
  for (let tries = 1; ; tries++) {
    // New ones for each attempt: one that seemed to fail may have been carried out.
    const events = Array.from({ length: size }, () => client.jsonEvent({ type: 'Happened', data: {} }))
    try {
      if (isTransaction) await server.write(stream, events, { transaction: true })
      else await db.appendToStream(stream, events)
      const ids = events.map(({ id }) => id)
      for (const id of ids) acknowledged.add(id)
      return ids
    } catch (error) {
      if (tries === MOST_TRIES) throw error
      await sleep(TRY_AGAIN_AFTER_MS)
    }
  }
}
