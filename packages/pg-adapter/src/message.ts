import { nowMs } from './append-time.ts'
import { type BoundedClient, type PgResult, socketOf } from './client.ts'
import { sendKept, type Written } from './kept-statements.ts'
import { plainSql, type Statement } from './statement.ts'
import { beginAlone, LOCK_TIMEOUT, LOCK_TIMEOUT_MS, limitSql, toSetting } from './transaction.ts'

/**
 * Selects in the order in which they are run, in one message, each with a snapshot of its own. Those of one transaction
 * are one list. A text is seldom sent, and never prepared.
 */
export interface Message {
  readonly transactions: readonly (readonly (Statement | string)[])[]
  /** `'kept by values'`: which plan is best may hang on the values. `'made anew'`: it is seldom sent. */
  readonly plans: 'kept' | 'kept by values' | 'made anew'
}

/** What came of a message, when, and how much of it came over the network. */
export interface MeasuredAnswer {
  readonly results: readonly PgResult[]
  readonly sentAtMs: number
  readonly answeredAtMs: number
  /** `undefined`: not known. */
  readonly bytes: number | undefined
}

/** Runs it as `sendMessage` does. */
export async function sendMeasured(client: BoundedClient, message: Message): Promise<MeasuredAnswer> {
  const sentAtMs = nowMs()
  const before = socketOf(client.driver)?.bytesRead
  const results = await sendMessage(client, message)
  const after = socketOf(client.driver)?.bytesRead
  const bytes = after === undefined || before === undefined ? undefined : after - before
  return { results, sentAtMs, answeredAtMs: nowMs(), bytes }
}

/** Runs it, with its statements kept prepared (`sendKept`) unless its plans are made anew. */
export async function sendMessage(client: BoundedClient, message: Message): Promise<readonly PgResult[]> {
  if (message.plans === 'made anew') return await sendPlain(client, message)
  const limit = limits(client, message)
  const statements = message.transactions.flat().filter((part) => typeof part !== 'string')
  return await sendKept(client, [limit, ...statements], (written, areKept) =>
    areKept ? send(client, message, written, written(limit)) : sendPlain(client, message),
  )
}

/**
 * What `limitSql` and `LOCK_TIMEOUT` set. And one plan for all values: left to itself, PostgreSQL plans a look at the end of
 * an index anew each time, since it takes that for cheaper than it would be with values that it does not know. The plan is kept
 * while a table grows that was empty when it was made: so it reads the table by an index.
 */
function limits({ queryTimeoutMs }: BoundedClient, { plans }: Message): Statement {
  const settings = {
    statement_timeout: toSetting(queryTimeoutMs),
    lock_timeout: LOCK_TIMEOUT_MS,
    plan_cache_mode: plans === 'kept' ? 'force_generic_plan' : 'auto',
    enable_seqscan: 'off',
    enable_bitmapscan: 'off',
    // With many partitions a plan costs so much that it would be compiled, at each execution, for a few rows.
    jit: 'off',
  }
  const sets = Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', true)`)
  return () => `select ${sets.join(', ')}`
}

async function sendPlain(client: BoundedClient, message: Message): Promise<readonly PgResult[]> {
  return await send(client, message, plainSql, `${limitSql(client)}; ${LOCK_TIMEOUT}`)
}

async function send(
  client: BoundedClient,
  { transactions }: Message,
  written: Written,
  limit: string,
): Promise<readonly PgResult[]> {
  const texts = transactions.map((parts) =>
    [limit, ...parts.map((part) => (typeof part === 'string' ? part : written(part))), 'commit'].join('; '),
  )
  return await beginAlone(client, texts.join('; begin isolation level read committed; '))
}
