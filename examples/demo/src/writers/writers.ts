import type { DemoDatabase } from '../database.ts'
import { pause } from '../pause.ts'
import type { Random } from '../random.ts'
import type { Behaviour, Surroundings } from './behaviours.ts'
import { type Append, WriterSession } from './writer-session.ts'

/** Who writes to one table of events. */
export interface Writers {
  readonly count: number
  readonly behaviours: readonly [Behaviour, ...Behaviour[]]
  /** Numbers taken a second by all of them together, where the machine can do that. */
  readonly numbersPerSecond: number
  readonly append: Append
  readonly randomOf: (writer: number) => Random
}

const RECONNECT_MS = 100

/** Appends from sessions of their own until `ending` fires; then every transaction is ended. */
export async function runWriters(
  writers: Writers,
  database: DemoDatabase,
  surroundings: Surroundings,
  onTrouble: (what: string, error: unknown) => void,
): Promise<void> {
  const running = Array.from({ length: writers.count }, async (_, index) => {
    const role = `writer ${index + 1}`
    const random = writers.randomOf(index)
    while (!surroundings.ending.aborted) {
      try {
        await writeUntilGone(database, role, surroundings, writers, random)
      } catch (error) {
        onTrouble(role, error)
        await pause(RECONNECT_MS, surroundings.ending)
      }
    }
  })
  await Promise.all(running)
  await surroundings.prepared?.allResolved()
}

async function writeUntilGone(
  database: DemoDatabase,
  role: string,
  surroundings: Surroundings,
  { count, behaviours, numbersPerSecond, append }: Writers,
  random: Random,
): Promise<void> {
  const { ledger, ending } = surroundings
  const session = await WriterSession.open(database, role, { append, ledger, random })
  const msPerNumber = (count * 1_000) / numbersPerSecond
  try {
    while (!ending.aborted && !session.isGone) {
      const startedMs = performance.now()
      const takenBefore = session.numbersTaken
      await random.weighted(behaviours).run(session, surroundings)
      const shareMs = (session.numbersTaken - takenBefore) * msPerNumber * (0.5 + random.share())
      await pause(shareMs - (performance.now() - startedMs), ending)
    }
  } finally {
    await session.close()
  }
}
