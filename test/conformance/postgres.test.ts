import {
  type CheckpointStoreFixture,
  type ConformanceEvent,
  checkpointStoreConformance,
  type EventSourceFixture,
  eventSourceConformance,
} from '@tidemark/core/testing'
import {
  type PgClient,
  type PostgresEventsOptions,
  type PostgresRow,
  postgresCheckpoints,
  postgresEvents,
} from '@tidemark/pg-adapter'
import { Client } from 'pg'
import { fileDatabase } from '../support/event-table.ts'
import { register } from './register.ts'
import { DENSE_SAMPLES } from './samples.ts'

const db = fileDatabase()

const EVENTS = `create table events (
  position bigint generated always as identity primary key,
  id text not null,
  type text not null,
  appended_at timestamptz not null default clock_timestamp()
)`

/** An event table of its own, in a schema of its own. */
async function makeEvents(
  highWater: NonNullable<PostgresEventsOptions['highWater']>,
): Promise<EventSourceFixture<bigint, PostgresRow>> {
  const { name, run } = await db.events(EVENTS)
  const sessions: Client[] = []
  const session = async (): Promise<Client> => {
    const client = new Client(db.url)
    sessions.push(client)
    await client.connect()
    return client
  }
  const insert = (client: Pick<Client, 'query'>, events: readonly ConformanceEvent[]) =>
    client.query(
      `insert into ${name} (id, type)
       select id, type from unnest($1::text[], $2::text[]) with ordinality as e (id, type, n) order by n`,
      [events.map(({ id }) => id), events.map(({ type }) => type)],
    )
  return {
    open: () =>
      postgresEvents({ pool: db.pool, table: name, eventType: 'type', appendedAt: 'appended_at', highWater }),
    samplePositions: DENSE_SAMPLES,
    append: async (events) => void (await insert(db.pool, events)),
    idOf: (event) => String(event.id),
    begin: async () => {
      const client = await session()
      await client.query('begin')
      const end = async (how: string): Promise<void> => {
        await client.query(how)
        await client.end()
      }
      return {
        append: async (event) => void (await insert(client, [event])),
        commit: () => end('commit'),
        rollback: () => end('rollback'),
      }
    },
    deleteOldest: (count) =>
      run(
        `delete from events where position in (select position from events order by position limit ${count})`,
      ),
    stall: async () => {
      const client = await session()
      await client.query(`begin; lock table ${name} in access exclusive mode`)
      return async () => void (await client.query('rollback'))
    },
    rewind: () =>
      run(`delete from events where position = (select max(position) from events);
        select setval(pg_get_serial_sequence('events', 'position'), (select max(position) from events))`),
    close: async () => {
      await Promise.all(sessions.map((client) => client.end()))
    },
  }
}

register(
  'events in Postgres, in proof mode',
  eventSourceConformance({
    make: () => makeEvents({ mode: 'proof' }),
    capabilities: [
      'dense_positions',
      'type_filter',
      'append_times',
      'open_transactions',
      'deletes',
      'stalls',
      'incarnations',
      'rewinds',
      'wake_ups',
    ],
  }),
)

register(
  'events in Postgres, in stale-threshold mode',
  eventSourceConformance({
    make: () => makeEvents({ mode: 'stale-threshold', thresholdMs: 60_000 }),
    capabilities: ['dense_positions', 'type_filter', 'append_times', 'deletes', 'stalls', 'wake_ups'],
  }),
)

register(
  'checkpoints in Postgres',
  checkpointStoreConformance({
    make: async (): Promise<CheckpointStoreFixture<PgClient>> => {
      const { schema, run } = await db.events('create table effects (text text)')
      return {
        open: () => postgresCheckpoints({ pool: db.pool, schema }),
        write: async (tx, text) => void (await tx.query(`insert into ${schema}.effects values ($1)`, [text])),
        written: async () => {
          const { rows } = await db.pool.query<{ text: string }>(`select text from ${schema}.effects`)
          return rows.map(({ text }) => text)
        },
        stall: async () => {
          const client = new Client(db.url)
          await client.connect()
          const tables = [
            'migrations',
            'checkpoints',
            'settled',
            'skips',
            'audit',
            'dead_letters',
            'dead_letter_counts',
            'late_events',
            'late_event_units',
            'lost_events',
            'lost_event_totals',
            'passed_positions',
            'nodes',
            'node_audit',
            'projection_failures',
          ].map((table) => `${schema}.${table}`)
          await client.query(`begin; lock table ${tables.join(', ')} in access exclusive mode`)
          return () => client.end()
        },
        close: () => run('drop table effects'),
      }
    },
    capabilities: [
      'transactional_effects',
      'locks',
      'remembers_settled',
      'counts_skips',
      'follows_operators',
      'keeps_dead_letters',
      'keeps_late_events',
      'keeps_lost_events',
      'counts_deaths',
      'gives_leases',
      'keeps_failures',
      'stalls',
    ],
  }),
)
