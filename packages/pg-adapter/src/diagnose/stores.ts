import { writtenName } from '../identifiers.ts'
import type { PostgresEventsOptions } from '../options.ts'

/** A table of the database, as its catalog has it. */
export interface CatalogTable {
  readonly schema: string
  readonly name: string
  readonly columns: readonly string[]
  /** The columns of each index, joined by commas. */
  readonly indexes: readonly string[]
}

/** An event store that was recognised by the names of its tables. */
export interface RecognisedStore {
  readonly store: StoreName
  /** `undefined`: it cannot be told. */
  readonly version: string | undefined
  readonly schema: string
  /** What `postgresEvents` needs to be told of it; `undefined`: it has no sequence that could be asked. */
  readonly events: Pick<PostgresEventsOptions, 'table' | 'position' | 'eventType' | 'appendedAt'> | undefined
  /** How to write the preset of these tables, without its options; `undefined`: there is none. */
  readonly preset: string | undefined
  /** Tables with checkpoints of its consumers, with their schema. */
  readonly consumerTables: readonly string[]
  /** What its tables do not tell: whole sentences. */
  readonly cannotTell: readonly string[]
}

export type StoreName =
  | 'emmett'
  | 'marten'
  | 'message-db'
  | 'eventuous'
  | 'axon'
  | 'commanded'
  | 'transaction-pairs'

interface KnownStore {
  readonly store: StoreName
  readonly table: string
  /** Without all of these, a table of that name is somebody else's. */
  readonly columns: readonly string[]
  readonly events?: Omit<NonNullable<RecognisedStore['events']>, 'table'>
  readonly preset?: string
  readonly consumers: readonly string[]
  readonly version: (table: CatalogTable, beside: readonly CatalogTable[]) => string | undefined
  readonly cannotTell: readonly string[]
}

const notTold = (): undefined => undefined
const has = (beside: readonly CatalogTable[], name: string): boolean =>
  beside.some((table) => table.name === name)

const AXON_CANNOT_TELL = [
  'A token holds an index and gaps, perhaps as XStream XML in a large object: which events a processor has passed is not told by a number alone.',
  "Whether Hibernate hands numbers out of a program's memory is told by the increment of its sequence alone.",
]

const KNOWN_STORES: readonly KnownStore[] = [
  {
    store: 'emmett',
    preset: 'emmett()',
    table: 'emt_messages',
    columns: ['global_position', 'stream_position', 'transaction_id', 'message_type'],
    events: { position: 'global_position', eventType: 'message_type', appendedAt: 'created' },
    consumers: ['emt_processors', 'emt_subscriptions'],
    version: emmettVersion,
    cannotTell: [
      'Consumers of 0.42 lose events: docs/watch.md has a query that names them. Those of 0.43 keep the transaction id too, and lose none of these. Which one runs is told by the column last_processed_checkpoint: a number (0.42), or two with a colon (0.43).',
    ],
  },
  {
    store: 'marten',
    preset: 'marten()',
    table: 'mt_events',
    columns: ['seq_id', 'stream_id', 'version', 'type'],
    events: { position: 'seq_id', eventType: 'type' },
    consumers: ['mt_event_progression'],
    version: (_, beside) =>
      has(beside, 'mt_high_water_skips') ? '8 or later, with its skips recorded' : undefined,
    cannotTell: [
      'Append mode Quick takes a number in the transaction that inserts it; Rich takes it on another connection, and then nothing can be proven. The tables are the same. Look in the code of every writer: Quick is the default since 9.',
    ],
  },
  {
    store: 'message-db',
    preset: 'messageDb()',
    table: 'messages',
    columns: ['global_position', 'position', 'stream_name', 'time', 'type'],
    events: {
      position: 'global_position',
      eventType: 'type',
      appendedAt: { column: 'time', timeZone: 'UTC' },
    },
    consumers: [],
    version: notTold,
    cannotTell: [
      'Its consumers keep their checkpoints as messages of type Recorded in the same table, each for one category.',
    ],
  },
  {
    store: 'eventuous',
    preset: 'eventuous()',
    table: 'messages',
    columns: ['global_position', 'stream_position', 'message_type', 'json_data'],
    events: { position: 'global_position', eventType: 'message_type' },
    consumers: ['checkpoints'],
    version: notTold,
    cannotTell: [
      'Its checkpoints are positions of all events, of one stream, or of another store. Nothing in the table says which.',
    ],
  },
  {
    store: 'axon',
    table: 'domain_event_entry',
    columns: ['global_index', 'aggregate_identifier', 'payload_type'],
    events: { position: 'global_index', eventType: 'payload_type' },
    consumers: ['token_entry'],
    version: () => '3 or 4, JPA',
    cannotTell: AXON_CANNOT_TELL,
  },
  {
    store: 'axon',
    table: 'domainevententry',
    columns: ['globalindex', 'aggregateidentifier', 'payloadtype'],
    events: { position: 'globalindex', eventType: 'payloadtype' },
    consumers: ['tokenentry'],
    version: () => '3 or 4',
    cannotTell: AXON_CANNOT_TELL,
  },
  {
    store: 'axon',
    table: 'aggregate_event_entry',
    columns: ['global_index', 'aggregate_identifier', 'aggregate_sequence_number'],
    events: { position: 'global_index', eventType: 'type' },
    consumers: ['token_entry'],
    version: () => '5, JPA',
    cannotTell: AXON_CANNOT_TELL,
  },
  {
    store: 'commanded',
    table: 'stream_events',
    columns: ['event_id', 'stream_id', 'stream_version', 'original_stream_version'],
    consumers: ['subscriptions'],
    version: notTold,
    cannotTell: [
      'Its numbers are taken under a lock on one row, so they are committed in their order: what is visible is settled, and no event appears later below another. Events and positions are in two tables: commandedEvents reads them, postgresEvents does not.',
    ],
  },
  {
    store: 'transaction-pairs',
    preset: 'transactionPairs()',
    table: 'es_event',
    columns: ['id', 'transaction_id', 'aggregate_id', 'event_type'],
    events: { position: 'id', eventType: 'event_type' },
    consumers: ['es_event_subscription'],
    version: notTold,
    cannotTell: [
      'Its consumers go by pairs of transaction and position: they lose nothing to visibility, and wait for every open transaction that has written.',
    ],
  },
]

/** The names by which tables are looked for. */
export const KNOWN_TABLES: readonly string[] = [
  ...new Set([
    ...KNOWN_STORES.flatMap(({ table, consumers }) => [table, ...consumers]),
    'mt_high_water_skips',
  ]),
]

/** Which stores these tables are of; pure. */
export function recognise(tables: readonly CatalogTable[]): readonly RecognisedStore[] {
  return KNOWN_STORES.flatMap((known) =>
    tables
      .filter(({ name, columns }) => name === known.table && known.columns.every((c) => columns.includes(c)))
      .map((table) => {
        const beside = tables.filter(({ schema }) => schema === table.schema)
        const consumerTables = beside.filter(({ name }) => known.consumers.includes(name))
        return {
          store: known.store,
          version: known.version(table, beside),
          schema: table.schema,
          events: known.events && { table: writtenName(table), ...known.events },
          consumerTables: consumerTables.map(writtenName),
          preset: known.preset,
          cannotTell: known.cannotTell,
        }
      }),
  )
}

function emmettVersion({ indexes }: CatalogTable, beside: readonly CatalogTable[]): string | undefined {
  if (!has(beside, 'emt_processors')) return 'before 0.42'
  if (indexes.includes('global_position')) return '0.42.4'
  if (indexes.includes('transaction_id,global_position')) return '0.43, or migrated to it'
  return '0.42.0 to 0.42.3'
}
