import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { gate } from '../core/rig.ts'
import {
  appended,
  asRole,
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

interface Fault {
  readonly stage: 'read' | 'commit'
  readonly breaks: (events: EventTable, role: string) => string
  readonly mends: (events: EventTable, role: string) => string
}

const FAULTS: Readonly<Record<string, Fault>> = {
  'the event table is renamed': {
    stage: 'read',
    breaks: () => 'alter table events rename to events_away',
    mends: () => 'alter table events_away rename to events',
  },
  'a column of the event table is renamed': {
    stage: 'read',
    breaks: () => 'alter table events rename position to place',
    mends: () => 'alter table events rename place to position',
  },
  'the right to read the event table is revoked': {
    stage: 'read',
    breaks: ({ name }, role) => `revoke select on ${name} from ${role}`,
    mends: ({ name }, role) => `grant select on ${name} to ${role}`,
  },
  'the right to move checkpoints is revoked': {
    stage: 'commit',
    breaks: ({ schema }, role) => `revoke update on ${schema}.checkpoints from ${role}`,
    mends: ({ schema }, role) => `grant update on ${schema}.checkpoints to ${role}`,
  },
}

test.each(Object.keys(FAULTS))(
  'while %s a projection waits, uses up no attempt, and goes on afterwards',
  async (name) => {
    const { stage, breaks, mends } = FAULTS[name] as Fault
    const events = await db.events()
    await events.run(HANDLED)
    await events.append(6)
    await checkpointsBeside(events, db.pool).prepare?.(new AbortController().signal)
    const role = await db.role(
      `grant usage on schema ${events.schema} to :role;
     grant select on all tables in schema ${events.schema} to :role;
     grant select on all sequences in schema ${events.schema} to :role;
     grant insert, update on ${['checkpoints', 'settled', 'skips', 'audit', 'dead_letters', 'dead_letter_counts', 'late_events', 'late_event_units', 'handled'].map((table) => `${events.schema}.${table}`).join(', ')} to :role;
     grant usage on all sequences in schema ${events.schema} to :role`,
    )
    const pool = db.newPool(asRole(db.url, role))
    const [handling, goOn] = [gate(), gate()]
    const all = recorder(events, 'all')
    const failures: unknown[] = []
    const daemon = await startDaemon({
      source: postgresEvents({ pool, table: events.name }),
      checkpoints: checkpointsBeside(events, pool),
      telemetry: { handlerFailed: ({ error }) => failures.push(error) },
      projections: [
        {
          ...all,
          attempts: 1,
          batchSize: 2,
          handle: async (page, context) => {
            handling.open()
            await goOn.promise
            await all.handle(page, context)
          },
        },
      ],
    })
    await handling.promise
    await events.run(breaks(events, role))
    goOn.open()
    await eventually(() => daemon.status().projections[0]).toMatchObject({
      state: 'retrying',
      failure: { stage, attempt: 0 },
    })
    await events.run(mends(events, role))
    await events.append(3)
    await daemon.waitUntilProjected()
    expect(failures).toEqual([])
    expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
  },
)
