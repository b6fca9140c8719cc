import { type BoundedPool, withConnection } from '../client.ts'
import { parseQualifiedName, quoteName, quoteTexts } from '../identifiers.ts'
import { transact } from '../transaction.ts'
import type { Finding } from './finding.ts'
import { type CatalogTable, KNOWN_TABLES, type RecognisedStore, recognise } from './stores.ts'

/** The stores of this database that are known by the names of their tables. */
export async function readStores(
  pool: BoundedPool,
  signal: AbortSignal,
): Promise<readonly RecognisedStore[]> {
  const [answer] = await withConnection(pool, signal, (client) =>
    transact(
      client,
      `select coalesce(json_agg(json_build_object(
          'schema', n.nspname, 'name', c.relname,
          'columns', array(select attname from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped),
          'indexes', array(
            select (select string_agg(a.attname, ',' order by k.n)
              from unnest(i.indkey) with ordinality as k (attnum, n)
              join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum)
            from pg_index i where i.indrelid = c.oid and i.indisvalid
          )
        ) order by n.nspname, c.relname), '[]')::text as tables
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p') and c.relname = any (${quoteTexts(KNOWN_TABLES)})`,
    ),
  )
  return recognise(JSON.parse(String(answer?.rows[0]?.tables)) as readonly CatalogTable[])
}

/** `isAsked`: a table or a preset was named, so none has to be proposed. */
export function storeFinding(
  { store, version, schema, preset, cannotTell }: RecognisedStore,
  isAsked: boolean,
): Finding {
  const which = version === undefined ? 'its version cannot be told' : `version ${version}`
  const told: Finding = {
    code: 'store',
    severity: 'note',
    about: `schema ${schema}`,
    found: `the tables of ${store}, ${which}. ${cannotTell.join(' ')}`,
  }
  if (isAsked || preset === undefined) return told
  const toDo = `Ask again with diagnose({ pool, preset: ${preset} }): a preset says what the tables do not.`
  return { ...told, toDo }
}

/** More are as many as anybody wants to know of. */
const MOST_COUNTED = 10_000

/** How many consumers keep their checkpoints there. */
export async function consumersFinding(
  pool: BoundedPool,
  table: string,
  signal: AbortSignal,
): Promise<Finding> {
  const name = quoteName(parseQualifiedName('table', table))
  const [answer] = await withConnection(pool, signal, (client) =>
    transact(client, `select count(*)::text as rows from (select from ${name} limit ${MOST_COUNTED}) r`),
  )
  return {
    code: 'consumers',
    severity: 'note',
    about: table,
    found: `checkpoints of consumers: ${String(answer?.rows[0]?.rows)}`,
  }
}

/** Whether logical replication writes the table: its commits take no lock on the sequence. */
export async function replicationFinding(
  pool: BoundedPool,
  { oid, about }: { readonly oid: string; readonly about: string },
  signal: AbortSignal,
): Promise<Finding> {
  const [answer] = await withConnection(pool, signal, (client) =>
    transact(
      client,
      `select exists (select from pg_subscription_rel where srrelid = ${oid}::oid)::text as replicated`,
    ),
  )
  const told = {
    code: 'logical_replication',
    about,
    expected: 'no subscription writes the table',
  } as const
  return answer?.rows[0]?.replicated === 'true'
    ? {
        ...told,
        severity: 'problem',
        found: 'a subscription writes it',
        toDo: 'Its rows come with numbers of another server, in the order of that one. Read the events where they are appended.',
      }
    : { ...told, severity: 'ok', found: told.expected }
}
