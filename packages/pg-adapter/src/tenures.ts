import {
  type BeginRequest,
  CheckpointConflictError,
  type FoundTenure,
  type Suspicion,
  type Tenure,
  type Tenures,
  type Unit,
  unitName,
} from '@tidemark/core/adapter'
import { textOf } from './checkpoint-rows.ts'
import { type CheckpointTables, isUnitSql, type Query, type Row } from './checkpoint-tables.ts'
import { type BoundedClient, type BoundedPool, withConnection } from './client.ts'
import { isAnswer, QueryTimeoutError } from './errors.ts'
import { quoteLiteral } from './identifiers.ts'
import { asLiteral, type Bind } from './statement.ts'
import { begin } from './transaction.ts'
import type { UnendedTransactions } from './unended-transactions.ts'

interface TenureParts {
  readonly pool: BoundedPool
  readonly query: Query
  readonly tables: CheckpointTables
  readonly unended: UnendedTransactions
}

/** Who works at a unit, in the unit's row. */
export function tenures({ pool, query, tables, unended }: TenureParts): Tenures {
  return {
    begin: (request, decide) =>
      withConnection(pool, request.signal, (client) =>
        beginTenure({ client, tables, unended }, request, decide),
      ),
    end: async (unit, session, signal) => {
      await query(endSql(tables, unit, session), signal)
    },
  }
}

/** Lock the row, decide, write, commit. */
async function beginTenure(
  { client, tables, unended }: { readonly client: BoundedClient } & Pick<TenureParts, 'tables' | 'unended'>,
  { unit, from, incarnation, effects, fence }: BeginRequest,
  decide: (found: FoundTenure) => Tenure,
): Promise<void> {
  const lock = async (): Promise<Row | undefined> =>
    (await begin(client, lockTenureSql(tables, unit)))[0]?.rows[0]
  try {
    let row = await lock()
    if ((await unended.requireEnded(client, unit, incarnation)) && row === undefined) {
      await client.query('rollback')
      row = await lock()
    }
    if (row === undefined) {
      throw new CheckpointConflictError(unitName(unit), 'another owner is working on it')
    }
    const position = textOf(row.position)
    if (position !== from) {
      throw new CheckpointConflictError(
        unitName(unit),
        `another owner moved its checkpoint to ${position ?? 'none'}, expected ${from ?? 'none'}`,
      )
    }
    if (fence !== undefined && String(row.fence) !== String(fence)) {
      throw new CheckpointConflictError(unitName(unit), 'another node has its lease')
    }
    const own = { transaction: String(row.transaction), pid: String(row.pid), incarnation }
    await client
      .query(`${keepSql(tables, unit, decide(toFound(row)), effects)}; commit`)
      .catch((error: unknown) => {
        if (!isAnswer(error)) unended.commitSent(unit, own)
        throw error
      })
  } catch (error) {
    // The connection is destroyed after an error; this ends the transaction at once, where it still can.
    if (!(error instanceof QueryTimeoutError)) await client.query('rollback').catch(() => {})
    throw error
  }
}

function lockTenureSql({ checkpoints }: CheckpointTables, unit: Unit): string {
  return `select c.position, c.session, c.fence::text as fence, c.suspicion::text as suspicion, pg_current_xact_id()::text as transaction,
       pg_backend_pid()::text as pid,
       coalesce(extract(epoch from clock_timestamp() - c.begun_at) * 1000, 0)::text as "ageMs"
     from ${checkpoints} c
     where ${isUnitSql('c', unit)}
     for update of c skip locked`
}

function toFound({ session, suspicion, ageMs }: Row): FoundTenure {
  const json = textOf(suspicion)
  return {
    session: textOf(session),
    suspicion: json === undefined ? undefined : (JSON.parse(json) as Suspicion),
    ageMs: Number(ageMs),
  }
}

function keepSql(
  { checkpoints }: CheckpointTables,
  unit: Unit,
  tenure: Tenure,
  effects: BeginRequest['effects'],
): string {
  return `update ${checkpoints} c set ${tenureSql(tenure)}, begun_at = clock_timestamp(), effects = ${quoteLiteral(effects)}
       where ${isUnitSql('c', unit)}`
}

/** The columns of a tenure, for an UPDATE. */
export function tenureSql({ session, suspicion }: Tenure, bind: Bind = asLiteral): string {
  const json = suspicion === undefined ? 'null' : `${quoteLiteral(JSON.stringify(suspicion))}::jsonb`
  return `session = ${bind('text', quoteLiteral(session))}, suspicion = ${bind('jsonb', json)}`
}

/** A row that another owner is working on is left to that owner. */
function endSql({ checkpoints }: CheckpointTables, unit: Unit, session: string): string {
  return `update ${checkpoints} c set session = null
       where ${isUnitSql('c', unit)} and c.session = ${quoteLiteral(session)} and exists (
         select from ${checkpoints} o where ${isUnitSql('o', unit)} for update skip locked
       )`
}
