import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Daemon, NodesOptions } from '@tidemark/core'
import { slotRanges } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test, vi } from 'vitest'
import {
  appended,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()
const who = { who: 'Ada', why: 'a test' }

async function table(): Promise<EventTable> {
  const events = await db.events(
    'create table events (position bigint generated always as identity primary key, stream text not null)',
  )
  await events.run(HANDLED)
  return events
}

const nameOf = ({ schema }: EventTable): string => `resharded ${schema}`

/** Cuts one connection of the daemons after another until `work` is over. */
async function whileConnectionsAreCut(events: EventTable, work: () => Promise<void>): Promise<void> {
  let isOver = false
  const cutting = (async () => {
    for (; !isOver; await sleep(150)) {
      await db.pool.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 order by random() limit 1',
        [nameOf(events)],
      )
    }
  })()
  try {
    await work()
  } finally {
    isOver = true
    await cutting
  }
}

function start(events: EventTable, nodes?: NodesOptions): Promise<Daemon<bigint>> {
  const pool = db.newPool({ max: 20, application_name: nameOf(events) })
  return startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [recorder(events, 'orders', { shardBy: 'stream', batchSize: 20 })],
    ...(nodes === undefined ? {} : { nodes }),
  })
}

/** Several append events of many keys until `work` is over. */
async function whileEventsCome(events: EventTable, work: () => Promise<void>): Promise<void> {
  let isOver = false
  const writing = [1, 2].map(async (writer) => {
    for (let n = writer; !isOver; n++) {
      await events.run(
        `insert into events (stream) select 'stream ' || floor(random() * 40) from generate_series(1, ${1 + (n % 9)})`,
      )
      await sleep(5)
    }
  })
  try {
    await work()
  } finally {
    isOver = true
    await Promise.all(writing)
  }
}

async function slotsOf(events: EventTable): Promise<unknown[]> {
  const { rows } = await db.pool.query(
    `select slot_from as from, slot_to as to from ${events.schema}.checkpoints order by slot_from`,
  )
  return rows
}

/** Each event once, and those of a stream in their order. */
async function expectAllHandled(events: EventTable): Promise<void> {
  const handled = await handledBy(db.pool, events, 'orders')
  expect([...handled].sort((a, b) => Number(a - b))).toEqual(await appended(db.pool, events))
  const { rows } = await db.pool.query(`select position::text, stream from ${events.name}`)
  const streamOf = new Map(rows.map(({ position, stream }) => [BigInt(position), String(stream)]))
  const last = new Map<string, bigint>()
  for (const position of handled) {
    const stream = streamOf.get(position) ?? ''
    expect(position, `after ${last.get(stream)} of ${stream}`).toBeGreaterThan(last.get(stream) ?? 0n)
    last.set(stream, position)
  }
}

/** Cuts and joins, and waits for each until every daemon runs what is stored. */
async function reshardAgainAndAgain(events: EventTable, daemons: readonly Daemon<bigint>[]): Promise<void> {
  const operations = createOperations({
    checkpoints: checkpointsBeside(events, db.pool),
    source: postgresEvents({ pool: db.pool, table: events.name }),
  })
  await eventually(() => slotsOf(events)).toHaveLength(1)
  for (const shards of [4, 3, 8, 2]) {
    const asked = operations.reshard({ projection: 'orders', shards, timeoutMs: 60_000, ...who })
    expect(await asked).toMatchObject({ outcome: 'done' })
    expect(await slotsOf(events)).toEqual(slotRanges(shards))
    for (const daemon of daemons) {
      const shown = () => daemon.status().projections[0]?.shards?.map(({ slots }) => slots)
      await eventually(shown).toEqual(slotRanges(shards))
    }
  }
}

test.each<[string, readonly (NodesOptions | undefined)[]]>([
  ['one daemon handles', [undefined]],
  ['two daemons without leases handle', [undefined, undefined]],
  [
    'two nodes with leases handle',
    [
      { name: 'a', leaseMs: 3_000 },
      { name: 'b', leaseMs: 3_000 },
    ],
  ],
  [
    'two nodes that are numbered handle',
    [
      { index: 0, of: 2 },
      { index: 1, of: 2 },
    ],
  ],
])(
  'resharded while events come, %s each event once, and those of a key in their order',
  async (_, nodes) => {
    const events = await table()
    const daemons = await Promise.all(nodes.map((node) => start(events, node)))
    await whileEventsCome(events, () => reshardAgainAndAgain(events, daemons))
    for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 60_000 })
    await expectAllHandled(events)
  },
  180_000,
)

test('so does a daemon whose connections are cut all the time', async () => {
  const events = await table()
  const daemon = await start(events)
  await whileEventsCome(events, () =>
    whileConnectionsAreCut(events, () => reshardAgainAndAgain(events, [daemon])),
  )
  await daemon.waitUntilProjected({ timeoutMs: 60_000 })
  await expectAllHandled(events)
}, 180_000)

/** A clock that runs so many times as fast as the machine's, and can be moved on. */
function fastClock(times: number): Clock & { moveOn(ms: number): void } {
  const startMs = performance.now()
  let movedMs = 0
  return {
    nowMs: () => times * (performance.now() - startMs) + movedMs,
    sleep: async (ms, signal) => {
      await sleep(ms / times, undefined, { signal }).catch(() => {})
    },
    moveOn: (ms) => {
      movedMs += ms
    },
  }
}

test('left to itself (autoShard), a projection under load becomes several shards, and one again when it is quiet', async () => {
  // Of this process, whose machine may have much else to do.
  const busy = vi.spyOn(performance, 'eventLoopUtilization')
  busy.mockReturnValue({ idle: 9, active: 1, utilization: 0.1 })
  const events = await table()
  const pool = db.newPool({ max: 20 })
  const clock = fastClock(10)
  const recording = recorder(events, 'orders')
  // So long that all else that a batch takes counts for little, also where the machine is busy.
  let waitMs = 40
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, wakeUps: 'none' }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [
      {
        ...recording,
        shardBy: 'stream',
        autoShard: { max: 4 },
        batchSize: 5,
        handle: async (page, context) => {
          await sleep(waitMs * page.length)
          await recording.handle(page, context)
        },
      },
    ],
    pollIntervalMs: 1_000,
    pollDelayMs: 500,
    clock,
  })
  const shards = async () => (await slotsOf(events)).length
  // Whether there are more than two depends on how much faster two are on this machine.
  await whileEventsCome(events, () => expect.poll(shards, { timeout: 120_000 }).toBeGreaterThan(1))
  waitMs = 0
  for (const count of [3, 2, 1]) {
    await daemon.waitUntilProjected()
    const moved = async () => {
      clock.moveOn(60_000)
      return await shards()
    }
    await expect.poll(moved, { timeout: 60_000 }).toBeLessThanOrEqual(count)
    await events.run(`insert into events (stream) select 'stream ' || n % 40 from generate_series(1, 50) n`)
  }
  await daemon.waitUntilProjected()
  expect(await slotsOf(events)).toEqual(slotRanges(1))
  await expectAllHandled(events)
  const audit = await createOperations({ checkpoints: checkpointsBeside(events, db.pool) }).audit()
  expect(audit.length).toBeGreaterThanOrEqual(2 + 1)
  expect([...new Set(audit.map(({ who: by }) => by))]).toEqual(['autoShard'])
}, 300_000)
