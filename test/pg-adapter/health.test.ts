import type { Daemon } from '@tidemark/core'
import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

async function eventTable(): Promise<EventTable> {
  const events = await db.events()
  await events.run(HANDLED)
  return events
}

function daemonOn(
  events: EventTable,
  more: Parameters<typeof recorder>[2] = {},
  staleAfterMs = 3_000,
): Promise<Daemon<bigint>> {
  return startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all', more)],
    staleAfterMs,
  })
}

/** As a probe of a platform sees it. */
function probed(daemon: Daemon<bigint>, stalledAfterMs = 60_000): unknown {
  return JSON.parse(JSON.stringify(daemon.health({ stalledAfterMs })))
}

test('a mark that a session holds is held by its pid, under its name; the process is ready, and the projection lags', async () => {
  const events = await eventTable()
  const daemon = await daemonOn(events, {}, 100)
  await events.append()
  await eventually(() => probed(daemon)).toMatchObject({
    live: true,
    ready: true,
    projections: [{ position: '1' }],
  })
  const session = await db.session({ application_name: 'billing' })
  await session.query('begin')
  await session.query(`insert into ${events.name} default values`)
  const { rows } = await session.query('select pg_backend_pid() as pid')
  await events.append()
  await eventually(() => JSON.parse(JSON.stringify(daemon.health({ laggingAfterMs: 200 })))).toMatchObject({
    live: true,
    ready: true,
    mark: {
      status: 'held',
      head: '3',
      settled: '1',
      heldSinceMs: expect.any(Number),
      heldBy: [{ pid: rows[0].pid, applicationName: 'billing' }],
    },
    projections: [{ status: 'lagging' }],
  })
  await session.query('commit')
  await eventually(() => probed(daemon)).toMatchObject({
    ready: true,
    projections: [{ status: 'ok', position: '3' }],
  })
})

test('polls that a lock holds up make the mark stale, and the process unready after a while; both end with the lock', async () => {
  const events = await eventTable()
  const daemon = await daemonOn(events, {}, 100)
  await events.append()
  await eventually(() => probed(daemon)).toMatchObject({ ready: true, projections: [{ position: '1' }] })
  const session = await db.session()
  await session.query('begin')
  await session.query(`lock table ${events.name} in access exclusive mode`)
  await eventually(() => probed(daemon, 300)).toMatchObject({
    live: true,
    ready: false,
    reasons: [expect.stringMatching(/^no poll has succeeded for /)],
    mark: { status: 'stale' },
  })
  await session.query('rollback')
  await eventually(() => probed(daemon, 300)).toMatchObject({
    live: true,
    ready: true,
    projections: [{ status: 'ok' }],
  })
})

test('a sequence that was set back: the mark went backwards, an operator decides, and a restart would not', async () => {
  const events = await eventTable()
  const daemon = await daemonOn(events)
  await events.append(5)
  await daemon.waitUntilProjected()
  await events.run("select setval('events_position_seq', 2)")
  await eventually(() => probed(daemon)).toMatchObject({
    live: true,
    ready: false,
    mark: { status: 'went_backwards', mark: '5', error: 'TIDEMARK_STORE_REWOUND' },
  })
})

test('a handler that a lock holds up stalls its projection; it is live, and goes on when the lock ends', async () => {
  const events = await eventTable()
  const session = await db.session()
  await session.query('begin')
  await session.query(`lock table ${events.schema}.handled in access exclusive mode`)
  const daemon = await daemonOn(events)
  await events.append()
  await eventually(() => probed(daemon, 300)).toMatchObject({
    live: true,
    ready: false,
    projections: [
      {
        status: 'stalled',
        why: expect.stringContaining('its handler has not ended'),
        pulse: { waitsFor: 'handler' },
      },
    ],
  })
  await session.query('rollback')
  await eventually(() => probed(daemon, 300)).toMatchObject({
    live: true,
    ready: true,
    projections: [{ status: 'ok' }],
  })
})

test('a table that is missing pauses its projection; one that comes back lets it go on', async () => {
  const events = await eventTable()
  const daemon = await daemonOn(events, { attempts: 1, longestPauseMs: 1_000 })
  await events.run('alter table handled rename to elsewhere')
  await events.append()
  await eventually(() => probed(daemon)).toMatchObject({
    live: true,
    ready: false,
    projections: [
      { status: 'paused', failure: { stage: 'handle', error: '42P01', batch: { firstPosition: '1' } } },
    ],
  })
  await events.run('alter table elsewhere rename to handled')
  await eventually(() => probed(daemon)).toMatchObject({
    live: true,
    ready: true,
    projections: [{ status: 'ok' }],
  })
})

test('a handler that commits has failed for good; it is live, since a restart would repeat what it has committed', async () => {
  const events = await eventTable()
  const daemon = await daemonOn(events, {
    handle: async (_, { tx }) => {
      await tx.query('commit')
    },
  })
  await events.append()
  await eventually(() => probed(daemon)).toMatchObject({
    live: true,
    ready: false,
    projections: [{ status: 'failed', failure: { error: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' } }],
  })
})
