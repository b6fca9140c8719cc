import { createDaemon } from '@tidemark/core'
import { postgresEvents } from '@tidemark/pg-adapter'
import { describe, expect, test } from 'vitest'
import {
  agentOver,
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

const REWOUND = 'TIDEMARK_STORE_REWOUND'
/** So long that almost everything that a test does falls between two polls: the first ones come sooner. */
const BETWEEN_POLLS_MS = 600_000

const options = (events: EventTable) => ({
  source: postgresEvents({ pool: db.pool, table: events.name }),
  checkpoints: checkpointsBeside(events, db.pool),
  projections: [recorder(events, 'all')],
  pollIntervalMs: BETWEEN_POLLS_MS,
})

/** Five events, handled; the daemon has nothing to do, or is stopped. */
async function handledFive(daemonIs: 'running' | 'stopped') {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(5)
  const daemon = await startDaemon(options(events))
  await daemon.waitUntilProjected()
  if (daemonIs === 'stopped') await daemon.stop()
  return { events, daemon }
}

/** In one transaction, but for VACUUM, which has none. */
async function runAll(events: EventTable, statements: string) {
  const [vacuum, ...others] = statements.split('; ')
  if (!vacuum?.startsWith('vacuum')) return await events.run(statements)
  await db.pool.query(vacuum.replace('events', events.name))
  if (others.length > 0) await events.run(others.join('; '))
}

const IDENTITY = 'position bigint generated always as identity primary key'
const SIX_MORE = `insert into events (type) select 'again' from generate_series(1, 6)`

const REPLACEMENTS: readonly (readonly [what: string, statements: string])[] = [
  ['TRUNCATE RESTART IDENTITY', 'truncate events restart identity'],
  ['a table dropped and made again', `drop table events; create table events (${IDENTITY}, type text)`],
  [
    'a sequence restarted and its rows deleted',
    'delete from events; alter table events alter position restart',
  ],
  [
    'the newest events deleted and their numbers handed out again',
    'delete from events where position > 3; alter table events alter position restart with 4',
  ],
  [
    'a new identity in an emptied table',
    `truncate events; alter table events alter position drop identity; alter table events alter position add generated always as identity`,
  ],
  ['TRUNCATE and setval', `truncate events; select setval('events_position_seq', 1, false)`],
  [
    'another table under the same name',
    `create table other (${IDENTITY}, type text); insert into other (type) select 'other' from generate_series(1, 3); alter table events rename to old; alter table other rename to events`,
  ],
]

describe.each(['running', 'stopped'] as const)(
  'numbers that came back under a daemon that is %s',
  (daemonIs) => {
    test.each(REPLACEMENTS)(
      '%s: halts it, though more events have come than before',
      async (_, statements) => {
        const { events, daemon } = await handledFive(daemonIs)
        await runAll(events, statements)
        await events.append(6)
        await expectHalted(events, daemonIs === 'running' ? daemon : undefined)
      },
    )

    test('all of it in one transaction: halts it', async () => {
      const { events, daemon } = await handledFive(daemonIs)
      await events.run(`truncate events restart identity; ${SIX_MORE}`)
      await expectHalted(events, daemonIs === 'running' ? daemon : undefined)
    })
  },
)

async function expectHalted(
  events: EventTable,
  running: Awaited<ReturnType<typeof startDaemon>> | undefined,
) {
  if (running) {
    running.wake()
    await eventually(() => running.status().highWater).toMatchObject({
      state: 'halted',
      error: { code: REWOUND },
    })
    await expect(running.waitUntilProjected()).rejects.toThrow(/polling is halted/)
    await running.stop()
  }
  // However often it is started.
  for (let start = 1; start <= 2; start++) {
    await expect(createDaemon(options(events)).start()).rejects.toMatchObject({ code: REWOUND })
  }
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n])
}

const HARMLESS: readonly (readonly [what: string, statements: string])[] = [
  ['ALTER SEQUENCE', 'alter sequence events_position_seq maxvalue 1000000'],
  ['a sequence that is renamed', 'alter sequence events_position_seq rename to numbers'],
  ['a restart further up', 'alter table events alter position restart with 100'],
  ['ALTER COLUMN TYPE of the position', 'alter table events alter position type integer'],
  ['ALTER COLUMN TYPE of another column', 'alter table events alter type type varchar(100)'],
  [
    'a column added with a default that rewrites',
    'alter table events add at timestamptz default clock_timestamp()',
  ],
  ['VACUUM FULL', 'vacuum full events'],
  [
    'VACUUM FULL and ALTER SEQUENCE',
    'vacuum full events; alter sequence events_position_seq maxvalue 1000000',
  ],
  ['CLUSTER', 'cluster events using events_pkey'],
  [
    'CLUSTER and ALTER SEQUENCE',
    'cluster events using events_pkey; alter sequence events_position_seq cache 1',
  ],
  [
    'a new identity further up',
    'alter table events alter position drop identity; alter table events alter position add generated always as identity (start 50)',
  ],
  ['an UPDATE of every event', `update events set data = 'changed'`],
  [
    'an UPDATE of every event, and an index',
    `update events set data = 'changed'; create index on events (type)`,
  ],
  ['TRUNCATE', 'truncate events'],
  [
    'every event archived, and ALTER SEQUENCE',
    'delete from events; alter sequence events_position_seq maxvalue 1000000',
  ],
  [
    'the newest event deleted, and ALTER SEQUENCE',
    'delete from events where position = 5; alter sequence events_position_seq maxvalue 1000000',
  ],
  ['rights and an owner', 'grant select on events to public; alter table events owner to current_user'],
]

describe.each(['running', 'stopped'] as const)(
  'what brings no number back, under a daemon that is %s',
  (daemonIs) => {
    test.each(HARMLESS)('%s: it goes on', async (_, statements) => {
      const { events, daemon } = await handledFive(daemonIs)
      await runAll(events, statements)
      await events.append(2)
      const now = daemonIs === 'running' ? daemon : await startDaemon(options(events))
      await now.waitUntilProjected()
      const fresh = (await appended(db.pool, events)).filter((position) => position > 5n)
      expect(fresh).toHaveLength(2)
      expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n, ...fresh])
      expect(now.status().highWater).toMatchObject({ state: 'polling', error: undefined })
    })
  },
)

describe('numbers that came back and are not committed yet', () => {
  async function takenAgain(): Promise<{
    events: EventTable
    daemon: Awaited<ReturnType<typeof startDaemon>>
    writer: Awaited<ReturnType<typeof db.session>>
  }> {
    const { events, daemon } = await handledFive('running')
    await events.run('truncate events restart identity')
    const writer = await db.session()
    await writer.query(`begin; insert into ${events.name} select from generate_series(1, 7)`)
    daemon.wake()
    const isSeen = () => {
      const { state, settled, holders } = daemon.status().highWater
      return state === 'halted' || (settled === undefined && holders.length === 1)
    }
    await eventually(isSeen).toBe(true)
    if (daemon.status().highWater.state !== 'halted') return { events, daemon, writer }
    // A poll of the first moments fell between the two, and saw a sequence that had handed out nothing.
    await writer.query('rollback')
    await daemon.stop()
    return await takenAgain()
  }

  test('are waited for, and halt the daemon once they are', async () => {
    const { events, daemon, writer } = await takenAgain()
    await writer.query('commit')
    daemon.wake()
    await expectHalted(events, daemon)
  })

  test('are waited for, and forgotten once they are rolled back', async () => {
    const { events, daemon, writer } = await takenAgain()
    await writer.query('rollback')
    await events.append(2)
    await daemon.waitUntilProjected()
    expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n, 8n, 9n])
  })
})

test('an agent without checkpoints halts where numbers up to its mark came back', async () => {
  const events = await db.events()
  await events.append(5)
  const agent = await agentOver({ pool: db.pool, table: events.name }, { pollIntervalMs: BETWEEN_POLLS_MS })
  expect(agent.mark).toBe(5n)
  await events.run(`truncate events restart identity; ${SIX_MORE}`)
  agent.wake()
  await eventually(() => agent.status()).toMatchObject({ state: 'halted', error: { code: REWOUND } })
  expect(String(agent.status().error)).toMatch(
    /the mark stands at 5, but the events up to there may be others/,
  )
})

const LINES = /^ {2}\S.*;$/gm

test.each([
  ['keeps the checkpoints, where it is told so', 0, [1n, 2n, 3n, 4n, 5n, 6n]],
  ['projects anew, where it is told so', 2, [1n, 2n, 3n, 4n, 5n, 1n, 2n, 3n, 4n, 5n, 6n]],
])('a halted daemon %s by what the error prints', async (_, firstLine, handled) => {
  const { events } = await handledFive('stopped')
  // A dump restored over the table: the same events, a new table.
  await events.run(`alter table events rename to dumped; create table events (like dumped including all);
    insert into events overriding system value select * from dumped;
    select setval(pg_get_serial_sequence('events', 'position'), 5)`)
  await events.append()
  const error: unknown = await createDaemon(options(events))
    .start()
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: REWOUND })
  const lines = String(error).match(LINES) ?? []
  expect(lines).toHaveLength(4)
  for (const line of lines.slice(firstLine, firstLine + 2)) await db.pool.query(line)
  const daemon = await startDaemon(options(events))
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual(handled)
})

test('a sequence that stands behind the table goes on once the printed setval has run', async () => {
  const { events } = await handledFive('stopped')
  await events.run('alter table events alter position restart')
  const error: unknown = await createDaemon(options(events))
    .start()
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({ condition: 'explicit_positions', message: expect.stringMatching(/setval/) })
  for (const line of String(error).match(LINES) ?? []) await db.pool.query(line)
  await events.append()
  const daemon = await startDaemon(options(events))
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
})
