import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DiscardPolicy } from '@nats-io/jetstream'
import { nanos } from '@nats-io/transport-node'
import { createProgressReader } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../chaos/until.ts'
import { Random } from '../core/model/random.ts'
import { type ChildProgram, startProgram } from '../support/child-program.ts'
import type { TestDatabase } from '../support/database.ts'
import { append, committed } from './events.ts'
import { because, isSkipped, type Nats, type Stored, storedIn } from './nats.ts'
import { type Setting, STREAM, setting } from './setting.ts'

const program = (name: string): string =>
  fileURLToPath(new URL(`../../examples/jetstream-relay/dist/${name}.js`, import.meta.url))

const KEYS = ['order-1', 'order-2', 'order.3', 'order 4', 'ordér-5']
const WRITERS = 4

/** How long the broker knows an id, at least. */
const FORGETS_MS = 100

/** Each once, in an order of the seed's own. */
const FAULTS: readonly ('relay' | 'broker' | 'broker in peace' | 'connection')[] = [
  'relay',
  'relay',
  'broker',
  'broker in peace',
  'connection',
]

/** `TIDEMARK_SEED` asks for one alone. */
const SEEDS = process.env.TIDEMARK_SEED === undefined ? [1, 2, 3, 4, 5] : [Number(process.env.TIDEMARK_SEED)]

function startProgramOf(
  name: string,
  { database, broker }: Setting,
  env: Record<string, string> = {},
): ChildProgram {
  return startProgram(program(name), {
    DATABASE_URL: database.url,
    NATS_URL: broker.url,
    PARTITIONS: '2',
    ...env,
  })
}

async function kill(program: ChildProgram): Promise<void> {
  program.kill('SIGKILL')
  await program.exit
}

/** Commit out of order, and roll back. */
function startWriters(database: TestDatabase, random: Random): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const loops = Promise.all(
    Array.from({ length: WRITERS }, () =>
      write(database, new Random(random.below(2 ** 31)), stopping.signal),
    ),
  )
  const stop = async (): Promise<void> => {
    stopping.abort()
    await loops
  }
  onTestFinished(stop)
  return { stop }
}

async function write(database: TestDatabase, random: Random, signal: AbortSignal): Promise<void> {
  const client = new Client(database.url)
  await client.connect()
  while (!signal.aborted) {
    await client.query('begin')
    for (let events = 1 + random.below(3); events > 0; events--) {
      await client.query(`insert into events (key, type, data) values ($1, 'Happened', '{}')`, [
        random.pick(KEYS),
      ])
      await sleep(random.below(15))
    }
    await client.query(random.chance(0.2) ? 'rollback' : 'commit')
  }
  await client.end()
}

function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  return items
    .map((item) => ({ item, at: random.next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

async function restart(broker: Nats, signal: 'SIGKILL' | 'SIGTERM', awayMs: number): Promise<void> {
  await broker.stop(signal)
  await sleep(awayMs)
  await broker.start()
}

/** Each subject's positions, in the order in which they are stored. */
function bySubject(stored: readonly Stored[]): readonly (readonly number[])[] {
  const subjects = [...new Set(stored.map(({ subject }) => subject))]
  return subjects.map((name) =>
    stored.filter(({ subject }) => subject === name).map(({ position }) => position),
  )
}

test.skipIf(isSkipped).each(SEEDS)(
  `a relay and a broker that are killed again and again lose nothing, repeat nothing and keep the order: seed %i${because}`,
  async (seed) => {
    const random = new Random(seed)
    // With an even seed a relay comes back after the broker has forgotten the ids of what was sent last.
    const isLate = seed % 2 === 0
    const all = await setting(
      isLate ? { discard: DiscardPolicy.New, duplicate_window: nanos(FORGETS_MS) } : undefined,
    )
    const { database, broker, clients } = all
    let relay = startProgramOf('main', all)
    await relay.said(/relaying/)
    const writers = startWriters(database, random)
    for (const fault of shuffled(FAULTS, random)) {
      // What is killed is in the middle of it: it has sent something since it was started.
      const { sent } = await until('the broker answers', async () => ({ sent: await lastSequence(all) }))
      await until('something more is sent', async () => (await lastSequence(all)) > sent)
      await sleep(random.below(200))
      if (fault === 'broker') await restart(broker, 'SIGKILL', random.below(300))
      else if (fault === 'broker in peace') await restart(broker, 'SIGTERM', random.below(300))
      else if (fault === 'connection') broker.cut()
      else {
        await kill(relay)
        if (isLate) await sleep(5 * FORGETS_MS)
        relay = startProgramOf('main', all)
      }
    }
    await writers.stop()
    const last = await append(database, KEYS)
    const { pool } = database
    const progress = createProgressReader({
      checkpoints: postgresCheckpoints({ pool }),
      source: postgresEvents({ pool, table: 'events' }),
    })
    await progress
      .waitFor({ projection: 'jetstream_relay', position: last, timeoutMs: 60_000 })
      .catch((error) => {
        throw new Error(relay.output(), { cause: error })
      })
    await kill(relay)

    const stored = await storedIn(clients, STREAM)
    const events = await committed(database)
    console.info(`seed ${seed}: ${events.length} events`)
    expect(events.length).toBeGreaterThan(50)
    expect(stored.map(({ id }) => id).toSorted()).toEqual(
      events.map(({ position, id }) => `${position}.${id}`).toSorted(),
    )
    for (const positions of bySubject(stored)) {
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
    }
  },
)

async function lastSequence({ clients }: Setting): Promise<number> {
  const { state } = await clients.jsm.streams.info(STREAM)
  return state.last_seq
}

test.skipIf(isSkipped)(
  `consumers that are killed in the middle of a message handle each subject in its order, each message once${because}`,
  async () => {
    const all = await setting()
    const { database } = all
    const relay = startProgramOf('main', all)
    await relay.said(/relaying/)
    const env = { ACK_WAIT_MS: '500' }
    const consumers = [startProgramOf('consumer', all, env), startProgramOf('consumer', all, env)]
    for (const consumer of consumers) await consumer.said(/consuming/)
    let last = 0n
    for (let n = 0; n < 4; n++) {
      last = await append(database, Array.from({ length: 10 }, () => KEYS).flat())
      await until('some more are handled', async () => (await received(database)).length > 50 * n)
      const [oldest] = consumers.splice(0, 1)
      if (oldest) await kill(oldest)
      consumers.push(startProgramOf('consumer', all, env))
    }
    await until('all are handled', async () => (await received(database)).length >= Number(last))
    const handled = await received(database)
    expect(handled).toHaveLength(Number(last))
    for (const positions of bySubject(handled)) {
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
    }
    for (const each of [relay, ...consumers]) await kill(each)
  },
)

async function received(database: TestDatabase): Promise<readonly Stored[]> {
  const { rows } = await database.pool.query(
    `select arrival::int as sequence, subject, message_id as id, split_part(message_id, '.', 1)::int as position
     from received order by arrival`,
  )
  return rows
}
