import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { measureLoad } from '../delay/backends.ts'
import type { Appended } from '../delay/protocol.ts'
import { delaysOf, type TrialResult } from '../delay/trial.ts'
import { createDatabase } from '../support/database.ts'
import { type Follower, forNpgsql, startMarten, startTidemark } from './followers.ts'
import type { MartenProgram, MartenSettings } from './program.ts'

export interface MartenTrial {
  readonly settings: MartenSettings
  /** Events a second; 0 for an idle store. */
  readonly rate: number
  /** One of so many transactions is rolled back by its caller; 0 for none. */
  readonly rolledBack: number
  /** Whether Tidemark follows the same events at the same time. */
  readonly withTidemark: boolean
}

export interface MartenTrialResult extends TrialResult {
  readonly name: Follower['name']
}

const SETTLE_DOWN_MS = 2_000
const MOST_WAIT_MS = 10_000
let databases = 0

export async function runMartenTrial(
  server: EmbeddedPostgres,
  program: MartenProgram,
  { settings, rate, rolledBack, withTidemark }: MartenTrial,
  seconds: number,
): Promise<readonly MartenTrialResult[]> {
  const database = `marten_${++databases}`
  const admin = await createDatabase(server, database)
  await admin.query('create extension pg_stat_statements')
  const followers = [await startMarten(program, settings, server, database)]
  if (withTidemark) followers.push(await startTidemark(server, database))
  const appended: Appended[] = []
  const writers = await program.start(
    ['append', forNpgsql(server, database, 'postgres'), settings, ...[rate, seconds, rolledBack].map(String)],
    (event) => appended.push(event),
  )
  // The writers' first event, which is not measured, has warmed all up.
  await untilHandled(appended, followers)
  appended.length = 0
  await sleep(SETTLE_DOWN_MS)
  const measured = await Promise.all(
    followers.map(async (follower) => ({
      ...follower,
      loadUntilNow: await measureLoad(admin, follower.role),
    })),
  )
  await (rate === 0 ? sleep(seconds * 1_000) : writers.go())
  const results = await Promise.all(
    measured.map(async ({ loadUntilNow, ...follower }) => ({ ...follower, load: await loadUntilNow() })),
  )
  await untilHandled(appended, followers)
  await writers.stop()
  for (const { stop } of followers) await stop()
  await admin.end()
  return results.map(({ name, load, handledAtMs }) => ({
    name,
    ...load,
    delays: delaysOf(appended, handledAtMs),
  }))
}

async function untilHandled(appended: readonly Appended[], followers: readonly Follower[]): Promise<void> {
  const isDone = (): boolean =>
    followers.every(({ handledAtMs }) => appended.every(({ n }) => handledAtMs.has(n)))
  for (let waitedMs = 0; waitedMs < MOST_WAIT_MS && !isDone(); waitedMs += 50) await sleep(50)
}
