import { createWatch, InvalidOptionError, type Watch } from '@tidemark/core'
import {
  type AxonOptions,
  axon,
  ConsumersUnreadableError,
  type PostgresRow,
  postgresConsumers,
  postgresEvents,
  watchedPostgresEvents,
} from '@tidemark/pg-adapter'
import { Pool } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  asRole,
  checkpointsBeside,
  eventually,
  fileDatabase,
  refusal,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

/** As `AbstractEventTableFactory` and `PostgresTokenTableFactory` of Axon 4.13 make them. */
const JDBC = `
  create table DomainEventEntry (
    globalIndex bigserial not null, aggregateIdentifier varchar(255) not null, sequenceNumber bigint not null,
    type varchar(255), eventIdentifier varchar(255) not null, metaData bytea, payload bytea not null,
    payloadRevision varchar(255), payloadType varchar(255) not null, timeStamp varchar(255) not null,
    primary key (globalIndex), unique (aggregateIdentifier, sequenceNumber), unique (eventIdentifier)
  );
  create table TokenEntry (
    processorName varchar(255) not null, segment integer not null, token bytea null, tokenType varchar(255) null,
    timestamp varchar(255) null, owner varchar(255) null, primary key (processorName, segment)
  )`

/** As Hibernate makes the entities of Axon 4 under Spring's naming: what is a `Lob` is a large object. */
const JPA_4 = `
  create sequence hibernate_sequence;
  create table domain_event_entry (
    global_index bigint not null primary key, event_identifier varchar(255) not null unique, meta_data oid, payload oid not null,
    payload_revision varchar(255), payload_type varchar(255) not null, time_stamp varchar(255) not null,
    aggregate_identifier varchar(255) not null, sequence_number bigint not null, type varchar(255),
    unique (aggregate_identifier, sequence_number)
  );
  create table token_entry (
    processor_name varchar(255) not null, segment integer not null, owner varchar(255), timestamp varchar(255) not null,
    token oid, token_type varchar(255), primary key (processor_name, segment)
  )`

/** `AggregateEventEntry` and `TokenEntry` of Axon 5.1, their bytes mapped to bytea as its documentation advises. */
const JPA_5 = `
  create sequence aggregate_event_global_index_sequence;
  create table aggregate_event_entry (
    global_index bigint not null primary key, aggregate_type varchar(255), aggregate_identifier varchar(255),
    aggregate_sequence_number bigint, type varchar(255) not null, version varchar(255) not null,
    timestamp varchar(255) not null, payload bytea not null, metadata bytea, identifier varchar(255) not null,
    unique (aggregate_identifier, aggregate_sequence_number)
  );
  create table token_entry (
    processor_name varchar(255) not null, segment integer not null, mask integer not null, owner varchar(255),
    timestamp varchar(255) not null, token bytea, token_type varchar(255), primary key (processor_name, segment)
  )`

const AXON_4 = 'org.axonframework.eventhandling.GapAwareTrackingToken'
const AXON_5 = 'org.axonframework.messaging.eventhandling.processing.streaming.token.GapAwareTrackingToken'

interface Token {
  readonly index: bigint
  readonly gaps: readonly bigint[]
}

const xml = ({ index, gaps }: Token): string =>
  `<${AXON_4}><index>${index}</index><gaps>${gaps.map((gap) => `<long>${gap}</long>`).join('')}</gaps></${AXON_4}>`
const json = ({ index, gaps }: Token): string => `{"index":${index},"gaps":[${gaps.join(',')}]}`

interface Shape {
  readonly ddl: string
  readonly options: AxonOptions
  /** Inserts an event; `$1` is its type. */
  readonly insert: string
  readonly bytes: (parameter: string) => string
  readonly type: string
  readonly format: (token: Token) => string
}

const toBytes = (parameter: string): string => `convert_to(${parameter}, 'UTF8')`
const toLargeObject = (parameter: string): string => `lo_from_bytea(0, ${toBytes(parameter)})`

const insert4 = (columns: string, table: string, first: string, payload: string): string =>
  `insert into ${table} (${columns}) values (${first} gen_random_uuid(), 0, gen_random_uuid(), ${payload}, $1, '2026-01-01T00:00:00Z')`

const SHAPES: Readonly<Record<string, Shape>> = {
  'Axon 4, JDBC, tokens in XML': {
    ddl: JDBC,
    options: { version: 4, storage: 'jdbc' },
    insert: `${insert4('aggregateIdentifier, sequenceNumber, eventIdentifier, payload, payloadType, timeStamp', 'DomainEventEntry', '', `''`)} returning globalIndex::text as position`,
    bytes: toBytes,
    type: AXON_4,
    format: xml,
  },
  'Axon 4, JPA, tokens in XML in large objects': {
    ddl: JPA_4,
    options: { version: 4, storage: 'jpa', sequence: 'hibernate_sequence' },
    insert: `${insert4('global_index, aggregate_identifier, sequence_number, event_identifier, payload, payload_type, time_stamp', 'domain_event_entry', `nextval('hibernate_sequence'),`, '0')} returning global_index::text as position`,
    bytes: toLargeObject,
    type: AXON_4,
    format: xml,
  },
  'Axon 5, JPA, tokens in JSON': {
    ddl: JPA_5,
    options: { version: 5 },
    insert: `insert into aggregate_event_entry (global_index, identifier, type, version, timestamp, payload) values
      (nextval('aggregate_event_global_index_sequence'), gen_random_uuid(), $1, '1', '2026-01-01T00:00:00Z', '') returning global_index::text as position`,
    bytes: toBytes,
    type: AXON_5,
    format: json,
  },
  'Axon 5, JPA without Spring': {
    ddl: JPA_5.replaceAll(/\b(?!varchar)[a-z]+(?:_[a-z]+)+\b/g, (name) =>
      name === 'aggregate_event_global_index_sequence'
        ? '"aggregate-event-global-index-sequence"'
        : name.replaceAll('_', ''),
    ),
    options: { version: 5, naming: 'jpa' },
    insert: `insert into aggregateevententry (globalindex, identifier, type, version, timestamp, payload) values
      (nextval('"aggregate-event-global-index-sequence"'), gen_random_uuid(), $1, '1', '2026-01-01T00:00:00Z', '') returning globalindex::text as position`,
    bytes: toBytes,
    type: AXON_5,
    format: json,
  },
}

/** The tables of a shape in a schema of their own, written as an application of Axon does. */
async function tables({ ddl, options, insert, bytes, type, format }: Shape) {
  const events = await db.events(ddl)
  const preset = axon({ ...options, schema: events.schema })
  const session = async () => {
    const client = await db.session()
    await client.query(`set search_path = ${events.schema}`)
    return client
  }
  const client = await session()
  const { table, consumer, axonTokens } = preset.consumers
  const [mask, maskValue] = ddl.includes('mask integer') ? [', mask', ', 1'] : ['', '']
  return {
    events,
    preset,
    append: async (eventType = 'Happened'): Promise<bigint> => {
      const { rows } = await client.query(insert, [eventType])
      return BigInt(rows[0].position)
    },
    /** An event whose transaction stays open. */
    open: async (eventType = 'Slow') => {
      const own = await session()
      await own.query('begin')
      const { rows } = await own.query(insert, [eventType])
      return { position: BigInt(rows[0].position), end: (how: 'commit' | 'rollback') => own.query(how) }
    },
    /** Stores a token; a text is the content of one of another class. */
    store: async (
      segment: number,
      token: Token | string,
      { processor = 'orders', tokenType = type } = {},
    ): Promise<void> => {
      await client.query(
        `insert into ${table} (${consumer}, segment, timestamp, token, ${axonTokens?.type} ${mask})
         values ($1, $2, '', ${bytes('$3::text')}, $4 ${maskValue})
         on conflict (${consumer}, segment)
           do update set token = excluded.token, ${axonTokens?.type} = excluded.${axonTokens?.type}`,
        [processor, segment, typeof token === 'string' ? token : format(token), tokenType],
      )
    },
  }
}

type Tables = Awaited<ReturnType<typeof tables>>

async function watched({ preset }: Tables) {
  const { pool } = db
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, ...preset.events }),
    consumers: postgresConsumers({ pool, ...preset.consumers, name: 'axon', eventTypes: { orders: 'all' } }),
  })
  onTestFinished(() => watch.stop())
  await watch.start()
  const looks = async (): Promise<void> => {
    const { looks: before } = watch.status()
    await eventually(() => watch.status().looks).toBeGreaterThan(before + 1)
  }
  await looks()
  return { watch, looks }
}

const lostPositions = (watch: Watch): readonly bigint[] => watch.lost().map(({ position }) => position)

describe.each(Object.entries(SHAPES))('%s', (_, shape) => {
  test('the program of the page projects the events', async () => {
    const { events, preset, append, open } = await tables(shape)
    const handled: PostgresRow[] = []
    const { pool } = db
    const slow = await open('OrderPlaced')
    await append('OrderPaid')
    const daemon = await startDaemon({
      source: postgresEvents({ pool, ...preset.events }),
      checkpoints: checkpointsBeside(events, pool),
      projections: [{ name: 'orders', handle: async (page) => void handled.push(...page) }],
    })
    await slow.end('commit')
    await append('Ignored')
    await daemon.waitUntilProjected()
    const { position = '', eventType = '' } = preset.events
    expect(handled.map((row) => [row[position], row[eventType]])).toEqual([
      [1n, 'OrderPlaced'],
      [2n, 'OrderPaid'],
      [3n, 'Ignored'],
    ])
  })

  test('a gap that a segment keeps is not lost, and one that each has dropped is', async () => {
    const own = await tables(shape)
    const { append, open, store } = own
    for (const segment of [0, 1]) await store(segment, { index: 0n, gaps: [] })
    await store(0, '{"config":{}}', { processor: '__config', tokenType: 'org.axonframework.ConfigToken' })
    const { watch, looks } = await watched(own)
    expect(watch.status().consumers).toMatchObject([
      { consumer: 'axon.orders', checkpoint: 'segment 0: 0; segment 1: 0', isUnderstood: true },
    ])
    const kept = await open()
    const keptByOne = await open()
    const dropped = await open()
    for (let round = 0; round < 3; round++) {
      const index = await append()
      await store(0, { index, gaps: [kept.position] })
      await store(1, { index, gaps: [kept.position, keptByOne.position] })
      await looks()
    }
    await eventually(() => watch.status().consumers[0]?.exposedPositions).toBe(1n)
    for (const event of [kept, keptByOne, dropped]) await event.end('commit')
    await eventually(() => lostPositions(watch)).toEqual([dropped.position])
    const index = await append()
    for (const segment of [0, 1]) await store(segment, { index, gaps: [] })
    await looks()
    await looks()
    expect(watch.lost()).toMatchObject([{ consumer: 'axon.orders', verdict: 'lost', type: 'Slow' }])
    await eventually(() => watch.status().consumers[0]?.lagPositions).toBe(0n)
  })
})

function shapeOf(name: string): Shape {
  const shape = SHAPES[name]
  if (shape === undefined) throw new TypeError(`no shape "${name}"`)
  return shape
}

test('a gap that was in an earlier token and was dropped is a loss, and one that another processor keeps is none yet', async () => {
  const own = await tables(shapeOf('Axon 4, JDBC, tokens in XML'))
  const { append, open, store } = own
  await store(0, { index: 0n, gaps: [] })
  await store(0, { index: 0n, gaps: [] }, { processor: 'mails' })
  const { watch, looks } = await watched(own)
  const first = await open()
  const second = await open()
  const { position } = first
  await store(0, { index: await append(), gaps: [position, second.position] })
  await store(0, { index: await append(), gaps: [position, second.position] }, { processor: 'mails' })
  await looks()
  for (let round = 0; round < 3; round++) {
    await store(0, { index: await append(), gaps: [] })
    await looks()
  }
  // The cache of the event store may hand it to both.
  await first.end('commit')
  await looks()
  await looks()
  expect(watch.lost()).toEqual([])
  await store(0, { index: await append(), gaps: [] }, { processor: 'mails' })
  await looks()
  await store(0, { index: await append(), gaps: [] })
  await looks()
  await second.end('commit')
  await eventually(() => lostPositions(watch)).toEqual([second.position])
})

const UNKNOWN = [
  ['ReplayToken', 'it is replayed'],
  ['MergedTrackingToken', 'it was merged from two that had not come equally far'],
  ['MultiSourceTrackingToken', 'it reads several sources'],
  ['GlobalSequenceTrackingToken', 'it reads another store than this table'],
  ['SomeToken', 'tokens of its class are not known here'],
] as const

test('of a processor with a token of another class nothing is told, and no event behind it is lost', async () => {
  const own = await tables(shapeOf('Axon 4, JDBC, tokens in XML'))
  const { append, open, store } = own
  const storeAll = async (index: bigint) => {
    for (const [processor] of UNKNOWN) await store(0, { index, gaps: [] }, { processor })
  }
  await storeAll(0n)
  const { watch, looks } = await watched(own)
  const slow = await open()
  await storeAll(await append())
  await looks()
  for (const [processor] of UNKNOWN) {
    const tokenType = `org.axonframework.eventhandling.${processor}`
    await store(0, '{"index":1,"gaps":[]}', { processor, tokenType })
  }
  await eventually(() =>
    watch
      .status()
      .consumers.map(({ consumer, isUnderstood, checkpoint }) => [consumer, isUnderstood, checkpoint]),
  ).toEqual(
    UNKNOWN.map(([processor, because]) => [`axon.${processor}`, false, `segment 0: cannot tell, ${because}`]),
  )
  await slow.end('commit')
  await looks()
  for (let round = 0; round < 2; round++) {
    await storeAll(await append())
    await looks()
  }
  expect(watch.lost()).toEqual([])
})

test('a table whose sequence hands out blocks is refused, with what to do in Hibernate', async () => {
  const { events, preset } = await tables(shapeOf('Axon 4, JPA, tokens in XML in large objects'))
  await events.run('create sequence domain_event_entry_seq increment by 50')
  const { condition, message } = await refusal({
    pool: db.pool,
    ...preset.events,
    sequence: 'domain_event_entry_seq',
  })
  expect(condition).toBe('sequence_increment')
  expect(message).toContain('Hibernate: allocationSize = 1')
})

test('tokens in large objects need the role that owns them, and the refusal says so', async () => {
  const own = await tables(shapeOf('Axon 4, JPA, tokens in XML in large objects'))
  await own.store(0, { index: 0n, gaps: [] })
  const { schema } = own.events
  const role = await db.role(`grant usage on schema ${schema} to :role;
    grant select on all tables in schema ${schema} to :role; grant select on all sequences in schema ${schema} to :role`)
  const pool = new Pool(asRole(db.url, role))
  onTestFinished(() => pool.end())
  const watch = createWatch({
    source: watchedPostgresEvents({ pool, ...own.preset.events }),
    consumers: postgresConsumers({ pool, ...own.preset.consumers }),
  })
  const error: unknown = await watch.start().catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConsumersUnreadableError)
  expect(String(error)).toContain('only their owner may read each of them')
})

test.each<[string, unknown, string]>([
  ['no version', {}, 'version'],
  ['version 3', { version: 3 }, 'version'],
  ['version 4 without its storage', { version: 4 }, 'storage'],
  ['version 5 with JDBC', { version: 5, storage: 'jdbc' }, 'storage'],
  ['version 4 with JPA and no sequence', { version: 4, storage: 'jpa' }, 'sequence'],
  ['JDBC with a sequence', { version: 4, storage: 'jdbc', sequence: 's' }, 'sequence'],
  ['JDBC with a naming', { version: 4, storage: 'jdbc', naming: 'jpa' }, 'naming'],
  ['an unknown naming', { version: 5, naming: 'snake' }, 'naming'],
  ['an unknown option', { version: 5, table: 'events' }, 'table'],
  ['an empty schema', { version: 5, schema: '' }, 'schema'],
])('it refuses %s', (_, options, option) => {
  expect(() => axon(options as AxonOptions)).toThrow(InvalidOptionError)
  expect(() => axon(options as AxonOptions)).toThrow(option)
})

test('the names follow from version, storage and naming', () => {
  const named = (options: AxonOptions) => {
    const { events, consumers } = axon(options)
    return [
      events.table,
      events.position,
      events.eventType,
      events.sequence,
      consumers.table,
      consumers.consumer,
    ]
  }
  expect(named({ version: 4, storage: 'jdbc' })).toEqual([
    'domainevententry',
    'globalindex',
    'payloadtype',
    undefined,
    'tokenentry',
    'processorname',
  ])
  expect(named({ version: 4, storage: 'jpa', sequence: 'hibernate_sequence', naming: 'jpa' })).toEqual([
    'domainevententry',
    'globalindex',
    'payloadtype',
    'hibernate_sequence',
    'tokenentry',
    'processorname',
  ])
  expect(named({ version: 5, schema: 'sales' })).toEqual([
    '"sales".aggregate_event_entry',
    'global_index',
    'type',
    'aggregate_event_global_index_sequence',
    '"sales".token_entry',
    'processor_name',
  ])
})
