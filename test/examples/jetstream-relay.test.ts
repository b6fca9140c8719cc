import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DiscardPolicy, type JetStreamClient, RetentionPolicy, type StreamConfig } from '@nats-io/jetstream'
import { nanos } from '@nats-io/transport-node'
import { createDaemon, type Daemon, type UndecidedFailure } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { MessageTooLargeError, RelayHaltedError } from '../../examples/jetstream-relay/src/errors.ts'
import { type RelayedEvent, toEvent } from '../../examples/jetstream-relay/src/event.ts'
import { subjectOf } from '../../examples/jetstream-relay/src/message.ts'
import { onFailure, relayProjection } from '../../examples/jetstream-relay/src/projection.ts'
import { publishInOrder } from '../../examples/jetstream-relay/src/publish.ts'
import type { Relay } from '../../examples/jetstream-relay/src/relay.ts'
import { warningsOf } from '../../examples/jetstream-relay/src/stream.ts'
import { until } from '../chaos/until.ts'
import type { TestDatabase } from '../support/database.ts'
import { append, committed } from './events.ts'
import { because, isSkipped, natsVersion, storedIn } from './nats.ts'
import { handOver, type Setting, STREAM, setting } from './setting.ts'

/** The relay as the example runs it. */
async function startDaemon({ database }: Setting, relay: Relay): Promise<Daemon<bigint>> {
  const { pool } = database
  const daemon = createDaemon({
    source: postgresEvents({ pool, table: 'events', eventType: 'type', mapRow: toEvent }),
    checkpoints: postgresCheckpoints({ pool }),
    projections: [relayProjection(relay)],
  })
  onTestFinished(() => daemon.stop())
  await daemon.start()
  return daemon
}

const positionsIn = async ({ clients }: Setting): Promise<readonly number[]> =>
  (await storedIn(clients, STREAM)).map(({ position }) => position)

const positionsOf = async (database: TestDatabase): Promise<readonly number[]> =>
  (await committed(database)).map(({ position }) => position)

test('a key has one subject, whatever is in it, and keys spread over the partitions', () => {
  const subjects = { prefix: 'events', partitions: 4 }
  expect(subjectOf('order-17', subjects)).toMatch(/^events\.[0-3]\.order-17$/)
  expect(subjectOf('a.b *>\n€', subjects)).toMatch(/^events\.[0-3]\.a%2Eb%20%2A%3E%0A%E2%82%AC$/)
  const partitions = Array.from({ length: 400 }, (_, n) => subjectOf(`order-${n}`, subjects).split('.')[1])
  for (const partition of ['0', '1', '2', '3']) {
    expect(partitions.filter((each) => each === partition).length).toBeGreaterThan(60)
  }
})

test('only a message that is too large is parked, and only what a person has to decide pauses', () => {
  const failure = { batch: { events: 1 }, events: [], tries: 5 } as never as UndecidedFailure<RelayedEvent>
  const decide = (error: Error, stage: 'map' | 'handle' = 'handle') =>
    typeof onFailure === 'function' ? onFailure({ ...failure, error, stage }) : onFailure
  expect(decide(new MessageTooLargeError(1n, 2, 1))).toBe('park_key')
  expect(decide(new RelayHaltedError('x'))).toBe('pause')
  expect(decide(new Error('x'), 'map')).toBe('pause')
  expect(decide(new Error('timeout'))).toBe('retry')
})

test('settings of a stream that may delete unread messages are told, and one that deletes read ones is refused', () => {
  const fit = {
    name: STREAM,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_age: 0,
    max_msgs: -1,
    max_bytes: -1,
    max_msgs_per_subject: -1,
  } as StreamConfig
  expect(warningsOf(fit)).toEqual([])
  expect(warningsOf({ ...fit, max_msgs: 1_000 })).toEqual([])
  expect(warningsOf({ ...fit, max_msgs: 1_000, discard: DiscardPolicy.Old })).toHaveLength(1)
  expect(warningsOf({ ...fit, max_age: 1, max_msgs_per_subject: 1 })).toHaveLength(2)
  expect(() => warningsOf({ ...fit, retention: RetentionPolicy.Workqueue })).toThrow(RelayHaltedError)
})

test.skipIf(isSkipped)(`the broker takes the example's configuration${because}`, async () => {
  const path = fileURLToPath(new URL('../../examples/jetstream-relay/nats-server.conf', import.meta.url))
  const text = await readFile(path, 'utf8')
  expect(text).toMatch(/^ {2}sync_interval: always$/m)
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-nats-conf-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const [major = 0, minor = 0] = natsVersion
  // 2.9, which Debian has, does not know it yet.
  const knowsSyncInterval = major > 2 || minor >= 10
  const config = join(folder, 'nats-server.conf')
  await writeFile(config, knowsSyncInterval ? text : text.replace('sync_interval: always', ''))
  const { status, stderr } = spawnSync('nats-server', ['-t', '-c', config], { cwd: folder, encoding: 'utf8' })
  expect(status, stderr).toBe(0)
})

test.skipIf(isSkipped)(
  `what was sent before a crash is not sent again, also after the broker has forgotten its id${because}`,
  async () => {
    const windowMs = 100
    const all = await setting({ duplicate_window: nanos(windowMs) })
    const { database, clients } = all
    await append(database, ['a', 'b', 'a', 'b'])
    await handOver(database.pool, await all.relay(), { end: 'rollback' })
    expect(await positionsIn(all)).toEqual([1, 2, 3, 4])

    await sleep(5 * windowMs)
    await append(database, ['b', 'a'])
    await handOver(database.pool, await all.relay())
    expect(await positionsIn(all)).toEqual([1, 2, 3, 4, 5, 6])

    // Of the id alone it would have stored the first one again.
    const [first] = await storedIn(clients, STREAM)
    const again = await clients.js.publish(first?.subject ?? '', 'x', { msgID: first?.id ?? '' })
    expect(again.duplicate).toBe(false)
  },
)

/** What happens to the k-th message of a batch. */
const TROUBLES = {
  'is refused': async () => {
    throw new Error('refused')
  },
  'is stored, and its acknowledgement is lost': async (publish: () => Promise<unknown>) => {
    await publish()
    throw new Error('timeout')
  },
  'is under way while the connection is cut': async (
    publish: () => Promise<unknown>,
    { broker }: Setting,
  ) => {
    const published = publish()
    broker.cut()
    return published
  },
}

test.skipIf(isSkipped).each(Object.entries(TROUBLES))(
  `the order holds where any message of a batch %s${because}`,
  async (_, trouble) => {
    const all = await setting()
    const { database, clients } = all
    let left = -1
    const js = Object.create(clients.js) as JetStreamClient
    js.publish = async (...parameters) => {
      const publish = () => clients.js.publish(...parameters)
      return (left-- === 0 ? await trouble(publish, all) : await publish()) as Awaited<
        ReturnType<typeof publish>
      >
    }
    const relay = await all.relay({ js })
    const keys = ['a', 'b', 'a', 'a', 'b']
    let above = 0n
    for (const [k] of keys.entries()) {
      const last = await append(database, keys)
      left = k
      await handOver(database.pool, relay, { above }).catch(() => {})
      left = -1
      await until('the batch is sent', () => handOver(database.pool, relay, { above }).then(() => true))
      above = last
    }
    expect(await positionsIn(all)).toEqual(await positionsOf(database))
  },
)

test.skipIf(isSkipped)(
  `a relay that was replaced, and does not know it, can store nothing${because}`,
  async () => {
    const all = await setting()
    const { database, clients } = all
    await append(database, ['a', 'b'])
    await handOver(database.pool, await all.relay())
    const late = { subject: 'events.0.a', payload: Buffer.from('{}'), id: '3.late' }
    await expect(publishInOrder(clients.js, STREAM, [late], 1)).rejects.toThrow('wrong last sequence: 2')
    expect(await positionsIn(all)).toEqual([1, 2])
  },
)

test.skipIf(isSkipped)(`what the broker has lost is sent again when it comes back${because}`, async () => {
  const all = await setting()
  const { database, broker } = all
  const relay = await all.relay()
  const before = await append(database, ['a', 'b', 'a'])
  await handOver(database.pool, relay)
  const copy = await mkdtemp(join(tmpdir(), 'tidemark-nats-copy-'))
  onTestFinished(() => rm(copy, { recursive: true }))
  await broker.stop('SIGTERM')
  await cp(join(broker.folder, 'jetstream'), copy, { recursive: true })
  await broker.start()
  await append(database, ['b', 'a', 'b'])
  await until('they are sent', () => handOver(database.pool, relay, { above: before }).then(() => true))
  expect(await positionsIn(all)).toEqual([1, 2, 3, 4, 5, 6])

  await broker.stop('SIGKILL')
  await rm(join(broker.folder, 'jetstream'), { recursive: true })
  await cp(copy, join(broker.folder, 'jetstream'), { recursive: true })
  await broker.start()
  await until('they are there again', async () => (await positionsIn(all)).length === 6)
  expect(await positionsIn(all)).toEqual([1, 2, 3, 4, 5, 6])
})

test.skipIf(isSkipped)(
  `what the broker has lost while the relay was away is sent again when that starts${because}`,
  async () => {
    const all = await setting()
    const { database, broker, clients } = all
    const before = await append(database, ['a', 'b', 'a'])
    await handOver(database.pool, await all.relay())
    const copy = await mkdtemp(join(tmpdir(), 'tidemark-nats-copy-'))
    onTestFinished(() => rm(copy, { recursive: true }))
    await broker.stop('SIGTERM')
    await cp(join(broker.folder, 'jetstream'), copy, { recursive: true })
    await broker.start()
    await append(database, ['b', 'a', 'b'])
    const relay = await all.relay()
    await until('they are sent', () => handOver(database.pool, relay, { above: before }).then(() => true))
    expect(await positionsIn(all)).toEqual([1, 2, 3, 4, 5, 6])

    await clients.nats.close()
    await broker.stop('SIGKILL')
    await rm(join(broker.folder, 'jetstream'), { recursive: true })
    await cp(copy, join(broker.folder, 'jetstream'), { recursive: true })
    await broker.start()
    const later = { ...all, clients: await broker.connect() }
    expect(await positionsIn(later)).toEqual([1, 2, 3])
    await all.relay(later.clients)
    expect(await positionsIn(later)).toEqual([1, 2, 3, 4, 5, 6])
  },
)

test.skipIf(isSkipped)(
  `the relay halts where the database has lost what was sent, and goes on when that is deleted${because}`,
  async () => {
    const all = await setting()
    const { database, clients } = all
    const { pool } = database
    const relay = await all.relay()
    await append(database, ['a', 'b', 'a'])
    await handOver(pool, relay)
    // What a failover to a standby does that did not have the last two.
    await pool.query('delete from events where position > 1; delete from relay_sent where position > 1')
    await pool.query(`alter table events alter column position restart with 2`)
    await append(database, ['a', 'b'])

    await expect(handOver(pool, relay)).rejects.toThrow(
      /2 messages of events that the database does not have.*at 2/,
    )
    await expect(all.relay()).rejects.toThrow(RelayHaltedError)
    for (const seq of [2, 3]) await clients.jsm.streams.deleteMessage(STREAM, seq)
    await handOver(pool, relay)
    const { state } = await clients.jsm.streams.info(STREAM)
    expect(state.messages).toBe(3)
    for (const [index, { position, id }] of (await committed(database)).slice(1).entries()) {
      const message = await clients.jsm.streams.getMessage(STREAM, { seq: 4 + index })
      expect(message?.header.get('Nats-Msg-Id')).toBe(`${position}.${id}`)
    }
  },
)

test.skipIf(isSkipped)(`a full stream is waited for, and nothing is passed${because}`, async () => {
  const all = await setting({ discard: DiscardPolicy.New, max_msgs: 3 })
  const { database, clients } = all
  const daemon = await startDaemon(all, await all.relay())
  await append(database, ['a', 'b', 'a', 'b', 'a'])
  await until('it fails', () => {
    const [projection] = daemon.status().projections
    return /maximum messages/.test(String(projection?.error))
  })
  expect(await positionsIn(all)).toEqual([1, 2, 3])
  await clients.jsm.streams.update(STREAM, { max_msgs: -1 })
  await daemon.waitUntilProjected({ timeoutMs: 40_000 })
  expect(await positionsIn(all)).toEqual([1, 2, 3, 4, 5])
})

test.skipIf(isSkipped)(
  `a message that is too large is parked with its key, and sent in order once it may be${because}`,
  async () => {
    const all = await setting({ max_msg_size: 2_000 })
    const { database, clients } = all
    const checkpoints = postgresCheckpoints({ pool: database.pool })
    const daemon = await startDaemon(all, await all.relay())
    await append(database, ['a'])
    await append(database, ['a'], 'x'.repeat(2_000))
    await append(database, ['b', 'a', 'b'])
    await daemon.waitUntilProjected({ timeoutMs: 40_000 })
    expect(await positionsIn(all)).toEqual([1, 3, 5])
    const operations = createOperations({ checkpoints })
    const letters = await operations.deadLetters.list({ state: 'open' })
    expect(letters.map(({ firstPosition }) => Number(firstPosition)).toSorted()).toEqual([2, 4])
    await daemon.stop()

    await clients.jsm.streams.update(STREAM, { max_msg_size: -1 })
    await startDaemon(all, await all.relay())
    await operations.deadLetters.retry({
      projection: 'jetstream_relay',
      who: 'ann',
      why: 'it may be larger now',
    })
    await until('both are sent', async () => (await positionsIn(all)).length === 5)
    expect(await positionsIn(all)).toEqual([1, 3, 5, 2, 4])
  },
)

test.skipIf(isSkipped)(
  `a message that is larger than the server takes is parked with its key, and sent in order once it may be${because}`,
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-nats-conf-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const config = join(folder, 'nats-server.conf')
    await writeFile(config, 'max_payload: 2000')
    const all = await setting(undefined, { flags: ['-c', config] })
    const { database, broker } = all
    const daemon = await startDaemon(all, await all.relay())
    await append(database, ['a'])
    await append(database, ['a'], 'x'.repeat(2_000))
    await append(database, ['b', 'a', 'b'])
    await daemon.waitUntilProjected({ timeoutMs: 40_000 })
    expect(await positionsIn(all)).toEqual([1, 3, 5])
    const operations = createOperations({ checkpoints: postgresCheckpoints({ pool: database.pool }) })
    const letters = await operations.deadLetters.list({ state: 'open' })
    expect(letters.map(({ firstPosition }) => Number(firstPosition)).toSorted()).toEqual([2, 4])
    await daemon.stop()

    await writeFile(config, '')
    await broker.stop('SIGTERM')
    await broker.start()
    const later = { ...all, clients: await broker.connect() }
    await startDaemon(all, await all.relay(later.clients))
    await operations.deadLetters.retry({
      projection: 'jetstream_relay',
      who: 'ann',
      why: 'it may be larger now',
    })
    await until('both are sent', async () => (await positionsIn(later)).length === 5)
    expect(await positionsIn(later)).toEqual([1, 3, 5, 2, 4])
  },
)

test.skipIf(isSkipped)(
  `the relay warns where its stream may delete what nobody has read, and says nothing where it does not${because}`,
  async () => {
    const aged = await setting({ max_age: nanos(3_600_000) })
    await aged.relay()
    expect(aged.warnings).toEqual([expect.stringContaining('max_age deletes messages by their age')])
    const fit = await setting()
    await fit.relay()
    expect(fit.warnings).toEqual([])
  },
)
