import type { DemoDatabase } from '../database.ts'
import { pause } from '../pause.ts'
import { weighted } from '../random.ts'
import { BEHAVIOURS, type Surroundings } from './behaviours.ts'
import { WriterSession } from './writer-session.ts'

/**
 * Numbers taken a second by all writers together, where the machine can do that: well above the 1,000 that make a run
 * worth looking at, well below what keeps two cores busy.
 */
const PACE_PER_SECOND = 2_000
const RECONNECT_MS = 100

/** Appends from `count` sessions until `ending` fires; then every transaction is ended. */
export async function runWriters(
  count: number,
  database: DemoDatabase,
  surroundings: Surroundings,
  onTrouble: (what: string, error: unknown) => void,
): Promise<void> {
  const writers = Array.from({ length: count }, async (_, index) => {
    const role = `writer ${index + 1}`
    while (!surroundings.ending.aborted) {
      try {
        await writeUntilGone(database, role, surroundings, (count * 1_000) / PACE_PER_SECOND)
      } catch (error) {
        onTrouble(role, error)
        await pause(RECONNECT_MS, surroundings.ending)
      }
    }
  })
  await Promise.all(writers)
  await surroundings.prepared?.allResolved()
}

async function writeUntilGone(
  database: DemoDatabase,
  role: string,
  surroundings: Surroundings,
  msPerNumber: number,
): Promise<void> {
  const session = await WriterSession.open(database, role, surroundings.ledger)
  try {
    while (!surroundings.ending.aborted && !session.isGone) {
      const startedMs = performance.now()
      const takenBefore = session.numbersTaken
      await weighted(BEHAVIOURS).run(session, surroundings)
      const shareMs = (session.numbersTaken - takenBefore) * msPerNumber * (0.5 + Math.random())
      await pause(shareMs - (performance.now() - startedMs), surroundings.ending)
    }
  } finally {
    await session.close()
  }
}
