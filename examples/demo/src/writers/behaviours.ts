import type pg from 'pg'
import type { Ledger } from '../ledger.ts'
import { pause } from '../pause.ts'
import type { PreparedTransactions } from './prepared-transactions.ts'
import type { WriterSession } from './writer-session.ts'

/** What one transaction may need. */
export interface Surroundings {
  readonly schema: string
  /** Another session, to end this one. */
  readonly pool: pg.Pool
  readonly ledger: Ledger
  /** `undefined` where the server allows none. */
  readonly prepared: PreparedTransactions | undefined
  /** How long a transaction that waits for something else stays open, at most. */
  readonly longestHoldMs: number
  /** Fires when writers are to come to an end. */
  readonly ending: AbortSignal
}

export interface Behaviour {
  readonly weight: number
  readonly run: (session: WriterSession, surroundings: Surroundings) => Promise<void>
}

const ROLLBACK_SHARE = 0.1

/** How often each kind of transaction comes. */
export interface Weights {
  readonly single: number
  readonly severalStatements: number
  readonly manyRows: number
  readonly savepoint: number
  readonly hold: number
  readonly prepare: number
  readonly terminated: number
}

export function weightedBehaviours(weights: Weights): readonly [Behaviour, ...Behaviour[]] {
  return [
    { weight: weights.single, run: single },
    { weight: weights.severalStatements, run: severalStatements },
    { weight: weights.manyRows, run: manyRows },
    { weight: weights.savepoint, run: savepoint },
    { weight: weights.hold, run: hold },
    { weight: weights.prepare, run: prepare },
    { weight: weights.terminated, run: terminated },
  ]
}

async function single(session: WriterSession): Promise<void> {
  if (!session.random.chance(ROLLBACK_SHARE)) return await session.appendAlone()
  await session.begin()
  await session.append(1)
  await session.rollBack()
}

async function severalStatements(session: WriterSession): Promise<void> {
  await session.begin()
  for (let statements = session.random.between(2, 5); statements > 0; statements--) {
    await session.append(session.random.between(1, 2))
  }
  await end(session)
}

async function manyRows(session: WriterSession): Promise<void> {
  await session.begin()
  await session.append(session.random.between(20, 120))
  await end(session)
}

async function savepoint(session: WriterSession): Promise<void> {
  await session.begin()
  await session.append(session.random.between(1, 3))
  await session.rollBackToSavepoint(() => session.append(session.random.between(1, 4)))
  await session.append(session.random.between(1, 3))
  await end(session)
}

/** Takes a number, then waits for something else: a lock, a web service, a person. */
async function hold(session: WriterSession, { ledger, longestHoldMs, ending }: Surroundings): Promise<void> {
  await session.begin()
  await session.append(session.random.between(1, 20))
  ledger.count('held')
  await pause(session.random.mostlyShort(50, longestHoldMs), ending)
  await session.append(1)
  await end(session)
}

async function prepare(
  session: WriterSession,
  { prepared, longestHoldMs, ending }: Surroundings,
): Promise<void> {
  await session.begin()
  await session.append(session.random.between(1, 5))
  if (prepared === undefined || prepared.isFull) await end(session)
  else await prepared.prepare({ session, longestMs: longestHoldMs, ending })
}

/** An administrator, a failover or an out-of-memory killer ends the session in mid-transaction. */
async function terminated(session: WriterSession, { pool, schema, ledger }: Surroundings): Promise<void> {
  await session.begin()
  await session.append(session.random.between(1, 10))
  const { rowCount } = await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where pid = $1 and starts_with(application_name, $2) and datname = current_database()`,
    [session.backendPid, `${schema} writer`],
  )
  if (rowCount !== 1) return await end(session)
  await session.untilGone()
  ledger.rolledBack(session.takePositions())
  ledger.count('terminated')
}

async function end(session: WriterSession): Promise<void> {
  if (session.random.chance(ROLLBACK_SHARE)) await session.rollBack()
  else await session.commit()
}
