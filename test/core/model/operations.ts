import type { Random } from './random.ts'
import type { Transaction } from './transaction.ts'
import type { World } from './world.ts'

interface OperationKind {
  readonly weight: number
  /** Some histories do without. */
  readonly optional: boolean
  readonly run: (world: World, random: Random) => void
}

const often = (weight: number, run: OperationKind['run']): OperationKind => ({ weight, optional: false, run })
const sometimes = (weight: number, run: OperationKind['run']): OperationKind => ({
  weight,
  optional: true,
  run,
})

const MOST_TRANSACTIONS = 8

/** Everything that can happen next. One that finds nothing to do does nothing. */
export const OPERATIONS = {
  begin: often(14, ({ server }, random) => {
    if (server.transactions.length >= MOST_TRANSACTIONS) return
    const transaction = server.begin(random.chance(0.2))
    if (random.chance(0.8)) transaction.holdsLock = true
    if (random.chance(0.7)) insertSome(server, transaction, random)
  }),
  insert: often(8, ({ server }, random) => {
    const transaction = pickIn(server.transactions, 'open', random)
    if (transaction) insertSome(server, transaction, random)
  }),
  appendAndCommit: often(6, ({ server, setting }, random) => {
    const transaction = server.begin(false)
    insertSome(server, transaction, random)
    server.commit(transaction, random.chance(setting.asynchronous))
    server.show(transaction)
    server.release(transaction)
  }),
  /** Another daemon's `pg_sequence_last_value`, or the first half of a `nextval`. */
  lock: sometimes(3, ({ server }, random) => {
    const transaction = pickIn(server.transactions, 'open', random)
    if (transaction) transaction.holdsLock = true
  }),
  rollBackToSavepoint: sometimes(3, ({ server }, random) => {
    const transaction = pickIn(server.transactions, 'open', random)
    if (transaction) server.rollBackToSavepoint(transaction, 1 + random.below(2))
  }),
  commit: often(16, ({ server, setting }, random) => {
    const transaction = pickIn(server.transactions, 'open', random)
    if (!transaction) return
    server.commit(transaction, random.chance(setting.asynchronous))
    endSoon(server, transaction, random)
  }),
  rollBack: sometimes(4, ({ server }, random) => {
    const transaction = pickIn(server.transactions, 'open', random)
    if (!transaction) return
    server.rollBack(transaction)
    if (random.chance(0.6)) server.release(transaction)
  }),
  goOnEnding: often(8, ({ server }, random) => {
    const transaction = random.pick(server.transactions)
    if (transaction?.phase === 'committing') server.show(transaction)
    else if (transaction?.phase === 'ending') server.release(transaction)
  }),
  prepare: sometimes(3, ({ server }, random) => {
    const transaction = pickIn(server.transactions, 'open', random)
    if (transaction) server.prepare(transaction)
  }),
  finishPrepared: sometimes(2, ({ server }, random) => {
    const transaction = pickIn(server.transactions, 'prepared', random)
    if (!transaction) return
    server.finishPrepared(transaction, random.chance(0.8))
    if (random.chance(0.6)) server.release(transaction)
  }),
  delete: sometimes(2, (world, random) => {
    const marked = world.daemon.agent.reading?.mark
    const ofMark = marked === undefined ? undefined : world.server.table.at(Number(marked))
    const event = random.chance(0.5) ? ofMark : random.pick(world.server.table.everInserted)
    if (event?.state === 'visible') world.server.delete(event, random.chance(world.setting.asynchronous))
  }),

  flush: sometimes(4, ({ server }, random) => {
    const { flushed, inserted } = server.wal
    server.wal.flush(random.chance(0.5) ? inserted : flushed + random.below(inserted - flushed + 1))
  }),
  checkpoint: sometimes(1, ({ server }) => server.checkpoint()),
  crash: sometimes(3, (world, random) => {
    world.crashes++
    world.server.crash(random.chance(0.3))
  }),
  restart: sometimes(1.5, ({ server }) => server.restart()),
  restartWithCopy: sometimes(0.7, ({ server }) => server.restartWithCopy()),
  restoreCopy: sometimes(0.7, ({ server }) => server.restoreCopy()),

  pollStep: often(40, ({ daemon }, random) => daemon.agent.step(random)),
  poll: often(6, ({ daemon }, random) => daemon.poll(random)),
  load: often(10, ({ daemon }, random) => random.pick(daemon.runners)?.load(random)),
  advance: often(8, ({ daemon, setting }, random) => {
    random.pick(daemon.runners)?.advance(random, random.chance(setting.asynchronous))
  }),
  project: often(4, ({ daemon, setting }, random) => {
    const runner = random.pick(daemon.runners)
    runner?.load(random)
    runner?.advance(random, random.chance(setting.asynchronous))
  }),
  /** Then settled may be stored again. */
  letSecondPass: sometimes(2, ({ daemon }) => daemon.agent.letPass(1_000)),
  reconnect: sometimes(1, ({ daemon }) => daemon.sessions.reconnect()),
  restartDaemon: sometimes(1.5, (world) => world.restartDaemon()),
  /** Both at once, as when a whole machine fails. */
  restartDaemonAndCrash: sometimes(1.5, (world, random) => {
    world.restartDaemon()
    world.daemon.agent.step(random)
    world.crashes++
    world.server.crash(random.chance(0.3))
  }),
} satisfies Record<string, OperationKind>

export type Operation = keyof typeof OPERATIONS

function pickIn(
  transactions: readonly Transaction[],
  phase: Transaction['phase'],
  random: Random,
): Transaction | undefined {
  return random.pick(transactions.filter((transaction) => transaction.phase === phase))
}

function insertSome(server: World['server'], transaction: Transaction, random: Random): void {
  for (let count = 1 + random.below(3); count > 0; count--) server.insert(transaction)
}

/** All the way, or left where a poll can see it. */
function endSoon(server: World['server'], transaction: Transaction, random: Random): void {
  if (random.chance(0.15)) return
  server.show(transaction)
  if (random.chance(0.7)) server.release(transaction)
}
