import { type CheckpointStore, createDaemon, type Daemon, type EventSource } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { type EsdbEvent, esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import type { PoolClient } from 'pg'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../support/database.ts'
import { type Client, connect } from './client.ts'
import { endOfAll, isOwn } from './own-names.ts'
import { never, numbered, useServer } from './rig.ts'
import { canRestart, describeSteered, isSimulated, restarting, steered } from './server-in-use.ts'

const esdb = useServer()
const own = esdb.own
let daemons: Daemon<unknown>[] = []

afterEach(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop()))
  daemons = []
})

describe('into Postgres tables', () => {
  let database: TestDatabase

  beforeEach(async () => {
    database = await testDatabase()
    await database.pool.query('create table seen (ordinal bigserial primary key, n int not null)')
  })
  // The outer `afterEach` stops the daemons.
  afterEach(async () => {
    await Promise.all(daemons.map((daemon) => daemon.stop()))
    await database.drop()
  })

  restarting.each([
    ['$all', () => esdbEvents({ client: esdb.client }) as EventSource<unknown, EsdbEvent>],
    [
      'a stream',
      () => esdbEvents({ client: esdb.client, stream: own('orders') }) as EventSource<unknown, EsdbEvent>,
    ],
  ])(
    'each event of %s is projected once, in order, through cuts and restarts of server and daemon',
    async (of, open) => {
      let appended = 0
      const append = async (count: number): Promise<void> => {
        await esdb.server.write(own('orders'), numbered(appended, appended + count - 1))
        await esdb.server.writeStatistics()
        appended += count
      }
      if (of === '$all') await beginAtHead(postgres())
      await append(50)
      for (let round = 0; round < 3; round++) {
        const daemon = await started(open(), { checkpoints: postgres(), batchSize: 7, handle: insert })
        await append(20)
        if (isSimulated) await esdb.server.cutConnections()
        await append(20)
        await untilSeen(appended - 20)
        await esdb.server.restart({ keepLog: true })
        await append(10)
        if (isSimulated) await esdb.server.endCalls({ kind: 'subscription' })
        await untilSeen(appended)
        await daemon.stop()
        await append(5)
      }
      await started(open(), { checkpoints: postgres(), handle: insert })
      await untilSeen(appended)
      expect(await seen()).toEqual(Array.from({ length: appended }, (_, n) => n))
    },
  )

  test('a handler that fails leaves nothing behind, and its batch is done again', async () => {
    await beginAtHead(postgres())
    await esdb.server.write(own('orders'), numbered(0, 9))
    let failures = 2
    await started(esdbEvents({ client: esdb.client }), {
      checkpoints: postgres(),
      handle: async (events, tx) => {
        await insert(events, tx)
        if (events.some(isOwnEvent) && failures-- > 0) throw new Error('the handler failed')
      },
    })
    await untilSeen(10)
    expect(await seen()).toEqual(numbersUpTo(9))
  })

  test.each([
    ['$all', () => esdbEvents({ client: esdb.client }) as EventSource<unknown, EsdbEvent>],
    [
      'a stream',
      () => esdbEvents({ client: esdb.client, stream: own('orders') }) as EventSource<unknown, EsdbEvent>,
    ],
  ])(
    'an event of %s that was given up is handled once, when its dead letter is retried',
    async (of, open) => {
      if (of === '$all') await beginAtHead(postgres())
      await esdb.server.write(own('orders'), numbered(0, 9))
      let isMended = false
      await started(open(), {
        checkpoints: postgres(),
        onFailure: 'skip',
        handle: async (events, tx) => {
          if (!isMended && events.some((event) => isOwnEvent(event) && numberOf(event) === 4))
            throw new Error('it fails at 4')
          await insert(events, tx)
        },
      })
      await untilSeen(9)
      isMended = true
      const { deadLetters } = createOperations({ checkpoints: postgres() })
      const retry = () => deadLetters.retry({ projection: own('numbers'), who: 'ann', why: 'mended' })
      expect(await retry()).toEqual({ retried: [expect.any(String)], failed: [], left: [] })
      expect(await retry()).toEqual({ retried: [], failed: [], left: [] })
      expect(await seen()).toEqual([...numbersUpTo(9).filter((n) => n !== 4), 4])
    },
  )

  steered('positions of $all are kept with commit and prepare', async () => {
    await esdb.server.write(own('orders'), numbered(0, 2), { transaction: true })
    const source = esdbEvents({ client: esdb.client })
    const daemon = await started(source, { checkpoints: postgres(), handle: insert })
    await daemon.waitUntilProjected()
    const { rows } = await database.pool.query<{ position: string }>(
      'select position from tidemark.checkpoints',
    )
    expect(rows[0]?.position).toBe(source.order.format(statusOf(daemon).position as never))
    expect(rows[0]?.position).toMatch(/^[0-9]+\/[0-9]+$/)
  })

  function postgres(): CheckpointStore<PoolClient> {
    return postgresCheckpoints({ pool: database.pool })
  }

  async function insert(events: readonly EsdbEvent[], tx: PoolClient): Promise<void> {
    for (const n of events.filter(isOwnEvent).map(numberOf))
      await tx.query('insert into seen (n) values ($1)', [n])
  }

  async function seen(): Promise<number[]> {
    const { rows } = await database.pool.query<{ n: number }>('select n from seen order by ordinal')
    return rows.map(({ n }) => n)
  }

  async function untilSeen(count: number): Promise<void> {
    await expect.poll(async () => (await seen()).length, POLLING).toBeGreaterThanOrEqual(count)
  }
})

describe('with checkpoints in the same store', () => {
  test('a daemon goes on where the one before it has stopped', async () => {
    const seen: number[] = []
    await beginAtHead(esdbCheckpoints({ client: esdb.client }))
    for (let round = 0; round < 3; round++) {
      await esdb.server.write(own('orders'), numbered(round * 10, round * 10 + 9))
      const daemon = await started(esdbEvents({ client: esdb.client }), { handle: into(seen), batchSize: 3 })
      await daemon.waitUntilProjected()
      await daemon.stop()
    }
    expect(seen).toEqual(numbersUpTo(29))
  })

  steered(
    'it never feeds itself: an idle daemon on $all appends nothing for 10 s',
    {
      timeout: 120_000,
    },
    async () => {
      const seen: number[] = []
      await esdb.server.write(own('orders'), numbered(0, 9))
      const daemon = createDaemon({
        source: esdbEvents({ client: esdb.client }),
        checkpoints: esdbCheckpoints({ client: esdb.client }),
        projections: [
          { name: 'every', handle: (events) => into(seen)(events) },
          { name: 'some', eventTypes: ['Rare'], handle: () => {} },
        ],
        logger: silent,
      })
      daemons.push(daemon)
      await daemon.start()
      await daemon.waitUntilProjected()
      // The checkpoint of the projection whose types are rare follows; then there is peace.
      await expect
        .poll(() => statusOf(daemon, 'some').position, POLLING)
        .toEqual(statusOf(daemon, 'every').position)
      await esdb.server.writeStatistics()
      const { eventsAppended } = await esdb.server.counters()
      await new Promise((resolve) => setTimeout(resolve, 10_000))
      expect((await esdb.server.counters()).eventsAppended).toBe(eventsAppended)
      expect(seen).toEqual(numbersUpTo(9))
    },
  )

  test('of two daemons one works, and the other takes over', async () => {
    const seen: number[] = []
    await beginAtHead(esdbCheckpoints({ client: esdb.client }))
    await esdb.server.write(own('orders'), numbered(0, 9))
    const first = await started(esdbEvents({ client: esdb.client }), { handle: into(seen) })
    await first.waitUntilProjected()
    const client = esdb.connect()
    const second = await started(esdbEvents({ client }), { handle: into(seen), client })
    await first.stop()
    await esdb.server.write(own('orders'), numbered(10, 19))
    await second.waitUntilProjected()
    expect(seen).toEqual(numbersUpTo(19))
  })
})

describe('wake-ups', () => {
  const HOUR_MS = 3_600_000

  test('bring an event at once, long before the next poll, also after every drop', async () => {
    const seen: number[] = []
    // A drop while a checkpoint is appended to the store would repeat its batch.
    const checkpoints = inMemoryCheckpoints()
    await beginAtHead(checkpoints)
    await started(esdbEvents({ client: esdb.client }), {
      checkpoints,
      handle: into(seen),
      pollIntervalMs: HOUR_MS,
    })
    const drops: (() => Promise<unknown>)[] = [async () => {}]
    if (isSimulated) {
      drops.push(
        () => esdb.server.endCalls({ kind: 'subscription' }),
        () => esdb.server.failCalls({ kind: 'subscription' }, 'server-busy'),
        () => esdb.server.cutConnections({ kind: 'subscription' }),
      )
    }
    if (canRestart) drops.push(() => esdb.server.restart({ keepLog: true }))
    for (const [n, drop] of drops.entries()) {
      await untilSubscribed()
      await drop()
      await untilSubscribed()
      await esdb.server.write(own('orders'), numbered(n, n))
      await expect.poll(() => seen, POLLING).toEqual(numbersUpTo(n))
    }
  })

  steered('leave no call open after stop', async () => {
    const daemon = await started(esdbEvents({ client: esdb.client, stream: own('orders') }), {
      handle: () => {},
    })
    await untilSubscribed()
    await daemon.stop()
    await expect.poll(async () => (await esdb.server.counters()).open.subscription, POLLING).toBe(0)
  })

  /** Only the simulated server says how many calls it has. */
  async function untilSubscribed(): Promise<void> {
    if (!isSimulated) return
    await expect.poll(async () => (await esdb.server.counters()).open.subscription, POLLING).toBe(1)
  }
})

describeSteered('when the server comes after the daemon', () => {
  test('it projects once that is there, with a client that goes on discovering', async () => {
    await esdb.server.close()
    const early = discovering('&maxDiscoverAttempts=1000000')
    const seen: number[] = []
    const daemon = daemonOf(esdbEvents({ client: early, stream: own('orders') }), {
      checkpoints: inMemoryCheckpoints(),
      handle: into(seen),
    })
    const starting = daemon.start()
    // As long as it takes one that does not go on.
    const impatient = discovering()
    await expect(impatient.getStreamMetadata('orders')).rejects.toThrow()
    await esdb.server.open()
    await starting
    await esdb.server.write(own('orders'), numbered(0, 2))
    await expect.poll(() => seen, POLLING).toEqual([0, 1, 2])
    await daemon.stop()
    await Promise.all([early.dispose(), impatient.dispose()])
  })
})

describeSteered('when the server hangs', () => {
  test('and answers reads before an append that hung, one batch is handled again, and nothing is lost', async () => {
    const seen: number[] = []
    const checkpoints = esdbCheckpoints({ client: esdb.client, timeoutMs: 1_000 })
    await esdb.server.write(own('orders'), numbered(0, 9))
    const daemon = await started(esdbEvents({ client: esdb.client }), { checkpoints, handle: into(seen) })
    await daemon.waitUntilProjected()
    await esdb.server.postpone({ kind: 'append', stream: `tidemark-checkpoint-${own('numbers')}` })
    await esdb.server.write(own('orders'), numbered(10, 19))
    // It has read its checkpoint again, and found the one before.
    await expect.poll(() => seen.filter((n) => n === 19).length, POLLING).toBeGreaterThan(1)
    await esdb.server.resume()
    await daemon.waitUntilProjected()
    await esdb.server.write(own('orders'), numbered(20, 29))
    await daemon.waitUntilProjected()
    expect([...new Set(seen)]).toEqual(numbersUpTo(29))
    const again = seen.filter((n, at) => seen.indexOf(n) < at)
    expect([...new Set(again)]).toEqual(Array.from({ length: 10 }, (_, n) => 10 + n))
  })

  test('stop is bounded all the same', async () => {
    await esdb.server.write(own('orders'), numbered(0, 9))
    const seen: number[] = []
    const daemon = await started(esdbEvents({ client: esdb.client }), { handle: into(seen) })
    await daemon.waitUntilProjected()
    esdb.server.freeze()
    try {
      daemon.wake()
      await daemon.stop()
    } finally {
      esdb.server.thaw()
    }
    expect(statusOf(daemon).state).toBe('stopped')
  })

  test('a poll is given up and tried again, and nothing is lost', async () => {
    const seen: number[] = []
    const source = esdbEvents({ client: esdb.client, timeoutMs: 1_000 })
    const daemon = await started(source, { handle: into(seen), pollIntervalMs: 50 })
    await esdb.server.stall({ kind: 'read', stream: '$all' })
    await expect
      .poll(() => daemon.status().highWater.error, POLLING)
      .toMatchObject({ code: 'TIDEMARK_ESDB_TIMEOUT' })
    await esdb.server.write(own('orders'), numbered(0, 9))
    await esdb.server.resume()
    await expect.poll(() => seen, POLLING).toEqual(numbersUpTo(9))
  })
})

steered('a server that comes back empty halts the daemon, and it says so', async () => {
  await esdb.server.write(own('orders'), numbered(0, 9))
  const daemon = await started(esdbEvents({ client: esdb.client }), { handle: () => {}, pollIntervalMs: 50 })
  await daemon.waitUntilProjected()
  await esdb.server.restart({ keepLog: false })
  await expect.poll(() => daemon.status().highWater.state, POLLING).toBe('halted')
  expect(daemon.status().highWater.error).toMatchObject({ code: 'TIDEMARK_STORE_REWOUND' })
})

steered('an access that is denied is no passing fault: the daemon does not start', async () => {
  await esdb.server.refuseCalls({ kind: 'read' }, 'access-denied', 1_000)
  const daemon = daemonOf(esdbEvents({ client: esdb.client }), { handle: () => {} })
  await expect(daemon.start()).rejects.toMatchObject({ type: 'access-denied' })
})

/** Waiting for a condition, on a machine that may be busy. */
const POLLING = { timeout: 40_000, interval: 20 } as const

const silent = { info: vi.fn(), warn: vi.fn(), error: vi.fn() }

interface DaemonParts<Tx> {
  readonly handle: (events: readonly EsdbEvent[], tx: Tx) => Promise<void> | void
  readonly checkpoints?: CheckpointStore<Tx>
  readonly client?: typeof esdb.client
  readonly batchSize?: number
  readonly onFailure?: 'pause' | 'skip'
  readonly pollIntervalMs?: number
}

function daemonOf<P, E extends EsdbEvent, Tx = undefined>(
  source: EventSource<P, E>,
  {
    handle,
    checkpoints,
    client = esdb.client,
    batchSize = 1_000,
    onFailure = 'pause',
    pollIntervalMs = 1_000,
  }: DaemonParts<Tx>,
): Daemon<P> {
  const daemon = createDaemon({
    source,
    checkpoints:
      checkpoints ?? (esdbCheckpoints({ client }) as CheckpointStore<unknown> as CheckpointStore<Tx>),
    projections: [
      { name: own('numbers'), batchSize, onFailure, handle: (events, { tx }) => handle(events, tx) },
    ],
    pollIntervalMs,
    logger: silent,
  })
  daemons.push(daemon as Daemon<unknown>)
  return daemon
}

async function started<P, E extends EsdbEvent, Tx = undefined>(
  source: EventSource<P, E>,
  parts: DaemonParts<Tx>,
): Promise<Daemon<P>> {
  const daemon = daemonOf(source, parts)
  await daemon.start()
  return daemon
}

function discovering(parameters = ''): Client {
  const connectionString = esdb.server.connectionString.replace('esdb:', 'esdb+discover:')
  return connect({ connectionString: `${connectionString}${parameters}` })
}

function statusOf(daemon: Daemon<unknown>, name = own('numbers')) {
  const found = daemon.status().projections.find((projection) => projection.name === name)
  if (!found) throw new Error(`no projection ${name}`)
  return found
}

function into(seen: number[]): (events: readonly EsdbEvent[]) => void {
  return (events) => void seen.push(...events.filter(isOwnEvent).map(numberOf))
}

/** Others may write to the server too. */
function isOwnEvent({ event }: EsdbEvent): boolean {
  return isOwn(event?.streamId ?? '')
}

/** What was in $all before the test is not projected. */
async function beginAtHead<Tx>(checkpoints: CheckpointStore<Tx>): Promise<void> {
  const { name, order } = esdbEvents({ client: esdb.client })
  const to = order.format(await endOfAll(esdb.client))
  const evidence = { incarnation: 'log', settled: to, logPosition: undefined }
  const projection = own('numbers')
  const signal = never()
  await checkpoints.prepare?.(signal)
  await checkpoints.open(wholeUnit(projection), { source: name, head: undefined }, signal)
  await checkpoints.advance(
    { unit: wholeUnit(projection), source: name, from: undefined, to, evidence, signal },
    async () => {},
  )
}

function numberOf({ event }: EsdbEvent): number {
  return Number((event?.data as { n?: number } | undefined)?.n)
}

function numbersUpTo(last: number): number[] {
  return Array.from({ length: last + 1 }, (_, n) => n)
}
