import {
  type AuditEntry,
  createOperations,
  type OperationRequest,
  type Operations,
  type Outcome,
  type Rehearsed,
  rehearse,
  rehearseNode,
} from '@tidemark/core/operations'
import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  asRole,
  checkpointsBeside,
  type EventTable,
  fileDatabase,
  HANDLED,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()
const ASK: OperationRequest = { projection: 'all', who: 'ann', why: 'a test' }

/** A projection that has handled five events, and no daemon any more. */
async function stopped(): Promise<EventTable> {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(5)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all', { reset: async () => {} })],
  })
  await daemon.waitUntilProjected()
  await daemon.stop()
  return events
}

const optionsOf = (events: EventTable) => ({
  checkpoints: checkpointsBeside(events, db.pool),
  source: postgresEvents({ pool: db.pool, table: events.name }),
})

const rowsOf = async (events: EventTable) =>
  (await db.pool.query(`select * from ${events.schema}.checkpoints order by slot_from`)).rows

const wouldBe = ({ unit, found, operation, to }: Rehearsed): Partial<AuditEntry> => ({
  unit,
  operation,
  before: {
    role: found.role,
    desired: found.desired,
    position: found.position,
    furthest: found.furthest,
    skipped: found.skipped,
  },
  after: to && {
    role: to.role,
    desired: to.desired,
    position: to.position,
    furthest: to.furthest,
    skipped: to.skipped,
  },
})

const asDone = ({ unit, operation, before, after }: AuditEntry): Partial<AuditEntry> => ({
  unit,
  operation,
  before,
  after,
})

/** What is asked, and what has to be done before. */
const cases: Record<
  string,
  {
    readonly before?: readonly ('pause' | 'askRebuild' | 'reshard')[]
    readonly rehearse: (events: EventTable) => Promise<readonly Rehearsed[]>
    readonly ask: (operations: Operations<bigint>) => Promise<Outcome>
  }
> = {
  pause: {
    rehearse: (events) => rehearse(optionsOf(events), 'pause', ASK),
    ask: (operations) => operations.pause(ASK),
  },
  resume: {
    before: ['pause'],
    rehearse: (events) => rehearse(optionsOf(events), 'resume', ASK),
    ask: (operations) => operations.resume(ASK),
  },
  'a move back': {
    before: ['pause'],
    rehearse: (events) => rehearse(optionsOf(events), 'moveTo', { ...ASK, position: 2n }),
    ask: (operations) => operations.moveTo({ ...ASK, position: 2n }),
  },
  'a move to before the first event': {
    before: ['pause'],
    rehearse: (events) => rehearse(optionsOf(events), 'moveTo', { ...ASK, position: undefined }),
    ask: (operations) => operations.moveTo({ ...ASK, position: undefined }),
  },
  forget: {
    before: ['pause'],
    rehearse: (events) => rehearse(optionsOf(events), 'forget', ASK),
    ask: (operations) => operations.forget(ASK),
  },
  reshard: {
    rehearse: (events) => rehearse(optionsOf(events), 'reshard', { ...ASK, shards: 2 }),
    ask: (operations) => operations.reshard({ ...ASK, shards: 2 }),
  },
  split: {
    rehearse: (events) => rehearse(optionsOf(events), 'split', { ...ASK, slots: { from: 0, to: 1023 } }),
    ask: (operations) => operations.split({ ...ASK, slots: { from: 0, to: 1023 } }),
  },
  merge: {
    before: ['reshard'],
    rehearse: (events) => rehearse(optionsOf(events), 'merge', { ...ASK, slots: { from: 0, to: 1023 } }),
    ask: (operations) => operations.merge({ ...ASK, slots: { from: 0, to: 1023 } }),
  },
  cancel: {
    before: ['askRebuild'],
    rehearse: (events) => rehearse(optionsOf(events), 'cancel', ASK),
    ask: (operations) => operations.cancel(ASK),
  },
}

test.each(Object.keys(cases))('%s does what its rehearsal says, which changes nothing', async (name) => {
  const operation = cases[name]
  if (operation === undefined) throw new Error(name)
  const events = await stopped()
  const operations = createOperations(optionsOf(events))
  for (const before of operation.before ?? []) {
    if (before === 'pause') await operations.pause(ASK)
    else if (before === 'reshard') await operations.reshard({ ...ASK, shards: 2 })
    else await operations.rebuild({ ...ASK, timeoutMs: 1 }).catch(() => {})
  }
  const [rows, audited] = [await rowsOf(events), await operations.audit()]
  const would = await operation.rehearse(events)
  expect([await rowsOf(events), await operations.audit()]).toEqual([rows, audited])
  await operation.ask(operations)
  const entries = (await operations.audit()).slice(0, would.length).reverse()
  expect(would.length).toBeGreaterThan(0)
  expect(would.map(wouldBe)).toEqual(entries.map(asDone))
  // What is so already is nothing to be done. Who is gone cannot be asked for anything.
  if (name !== 'forget') expect(await operation.rehearse(events)).toEqual([])
})

test('what a node would be asked is told at once, with no daemon at work, and is not asked', async () => {
  const events = await stopped()
  await events.append()
  expect(await rehearse(optionsOf(events), 'rebuild', ASK)).toMatchObject([
    { operation: 'rebuild', isAsked: true, found: { position: '5' } },
  ])
  expect(await rehearse(optionsOf(events), 'skipNext', { ...ASK, position: 6n })).toMatchObject([
    { operation: 'skip', isAsked: true },
  ])
  expect(await createOperations(optionsOf(events)).list()).toMatchObject([{ asked: undefined }])
})

test('what would be refused is refused in the same words', async () => {
  const events = await stopped()
  const operations = createOperations(optionsOf(events))
  const move = { ...ASK, position: 2n }
  const refused: unknown = await operations.moveTo(move).catch((error: unknown) => error)
  await expect(rehearse(optionsOf(events), 'moveTo', move)).rejects.toThrow(
    String((refused as Error).message),
  )
  await expect(rehearse(optionsOf(events), 'pause', { ...ASK, projection: 'none' })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
  })
})

test('a role that may only read rehearses', async () => {
  const events = await stopped()
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant select on all tables in schema ${events.schema} to :role`,
  )
  const pool = db.newPool(asRole(db.url, role))
  expect(await rehearse({ checkpoints: checkpointsBeside(events, pool) }, 'pause', ASK)).toHaveLength(1)
})

test('an operation on a node does what its rehearsal says, which changes nothing', async () => {
  const events = await stopped()
  const options = optionsOf(events)
  const { nodes } = createOperations(options)
  const drain = { node: 'a', who: 'ann', why: 'a test' }
  for (const id of ['a-1', 'a-2', 'b']) {
    const [name = ''] = id.split('-')
    const node = {
      id,
      name,
      source: options.source.name,
      capacity: 1,
      units: [],
      unable: [],
      isLeaving: false,
    }
    await options.checkpoints.leases?.renew({ node, leaseMs: 10_000, signal: AbortSignal.timeout(10_000) })
  }
  await nodes.drain({ ...drain, node: 'a-2' })
  const before = [await nodes.list(), await nodes.audit()]
  expect(await rehearseNode(options, 'drain', drain)).toMatchObject([{ id: 'a-1', desired: 'open' }])
  expect(await rehearseNode(options, 'open', drain)).toMatchObject([{ id: 'a-2', desired: 'draining' }])
  expect([await nodes.list(), await nodes.audit()]).toEqual(before)
  expect(await nodes.drain(drain)).toMatchObject({ entries: [{ runs: ['a-1'] }] })
  expect(await rehearseNode(options, 'drain', drain)).toEqual([])
  await expect(rehearseNode(options, 'drain', { ...drain, node: 'c' })).rejects.toMatchObject({
    code: 'TIDEMARK_NODE_UNKNOWN',
  })
})
