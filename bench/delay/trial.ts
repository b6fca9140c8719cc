import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import type { PgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { machineNowMs } from '../mark/writers-protocol.ts'
import { startChild } from '../support/child.ts'
import { createDatabase, openTransaction } from '../support/database.ts'
import { CREATE_EVENTS } from '../support/event-table.ts'
import { type Load, measureLoad } from './backends.ts'
import { type Cadence, CHANNEL, type ConsumerName, prepare, startConsumer, storeFor } from './consumer.ts'
import type { Appended, AppendOrder } from './protocol.ts'

export interface Trial {
  readonly consumer: ConsumerName
  /** Events a second. */
  readonly rate: number
  /** Whether one unrelated transaction, which has written elsewhere, is open throughout. */
  readonly withOpenTransaction: boolean
  /** Of Tidemark's daemon. @default its defaults */
  readonly cadence?: Cadence
  /** What the consumer connects through. @default nothing */
  readonly pooler?: PgBouncer | undefined
}

/** With what the consumer's backends have cost. */
export interface TrialResult extends Load {
  /** From the answer to a commit to the end of the handler, in ms; infinite where it was not handled. */
  readonly delays: readonly number[]
}

/** The role of consumers, so that their statements are told apart. */
export const CONSUMER_ROLE = 'consumer'

/** The consumer comes to rest. */
const SETTLE_DOWN_MS = 2_000
/** A consumer that is only late is not taken for one that has lost something. */
const MOST_WAIT_AFTER_MS = 10_000
let databases = 0

export async function runTrial(
  server: EmbeddedPostgres,
  trial: Trial,
  options: { readonly seconds: number; readonly projections: number },
): Promise<TrialResult> {
  const database = `delay_${++databases}`
  const admin = await createDatabase(server, database)
  await admin.query(`${CREATE_EVENTS}; create table elsewhere (n int); create extension pg_stat_statements`)
  const connectionString = server.connectionString(database)
  const asConsumer = new URL(trial.pooler?.connectionString(database) ?? connectionString)
  asConsumer.username = CONSUMER_ROLE
  await prepare(trial.consumer, connectionString)
  const unrelated = trial.withOpenTransaction ? await openTransaction(admin) : undefined
  const handledAtMs = new Map<number, number>()
  const settings = { projections: options.projections, ...trial.cadence }
  const consumer = await startConsumer(trial.consumer, asConsumer.href, settings, (n) => {
    handledAtMs.set(n, machineNowMs())
  })
  await sleep(SETTLE_DOWN_MS)
  const loadUntilNow = await measureLoad(admin, CONSUMER_ROLE)
  const appended = await append({
    connectionString,
    store: storeFor(trial.consumer),
    rate: trial.rate,
    seconds: options.seconds,
    channel: trial.consumer === 'listen' ? CHANNEL : undefined,
  })
  const load = await loadUntilNow()
  const isHandled = (): boolean => appended.every(({ n }) => handledAtMs.has(n))
  for (let waited = 0; waited < MOST_WAIT_AFTER_MS && !isHandled(); waited += 50) await sleep(50)
  await consumer.stop()
  unrelated?.release(true)
  await admin.end()
  return { ...load, delays: delaysOf(appended, handledAtMs) }
}

export function delaysOf(
  appended: readonly Appended[],
  handledAtMs: ReadonlyMap<number, number>,
): readonly number[] {
  return appended.map(({ n, atMs }) => Math.max(0, (handledAtMs.get(n) ?? Number.POSITIVE_INFINITY) - atMs))
}

async function append(order: AppendOrder): Promise<readonly Appended[]> {
  const writers = startChild('delay-writers')
  const appended = await writers.ask<Appended[]>({ ...order })
  await writers.end()
  return appended
}
