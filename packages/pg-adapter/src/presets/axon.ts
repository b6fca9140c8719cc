import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import { quoteIdentifier } from '../identifiers.ts'
import { requireText } from '../pool-options.ts'
import type { Preset } from './preset.ts'

export interface AxonOptions {
  /** The major version of Axon Framework. */
  readonly version: 4 | 5
  /**
   * Which of Axon 4's storage engines writes the events. Axon 5 has JPA alone.
   * - `'jdbc'`: `JdbcEventStorageEngine`, and `JdbcTokenStore`. The table fills the position by itself.
   * - `'jpa'`: `JpaEventStorageEngine`, and `JpaTokenStore`. Hibernate fills it, from the sequence that `sequence` names.
   * - Change it when: the version is 4; it has to be said then.
   * @default 'jpa' for version 5
   */
  readonly storage?: 'jdbc' | 'jpa'
  /**
   * The sequence from which Hibernate takes the numbers. Version 4 under Hibernate 5: `hibernate_sequence`; under Hibernate 6 the one
   * that your `orm.xml` names. Its increment has to be 1.
   * - Change it when: the version is 4 and the storage JPA (it has to be said then), or version 5 has one of another name.
   * @default version 5: `aggregate_event_global_index_sequence`, with hyphens where `naming` is `'jpa'`
   */
  readonly sequence?: string
  /**
   * How Hibernate makes names of tables and columns.
   * - `'spring'`: as Spring Boot sets it, `domain_event_entry.global_index`.
   * - `'jpa'`: as it is without Spring, `domainevententry.globalindex`.
   * - Change it when: the storage is JPA, and the application is not one of Spring Boot.
   * @default 'spring'
   */
  readonly naming?: 'spring' | 'jpa'
  /**
   * The schema that the tables are in.
   * - Change it when: it is not on the search path of the pool's role.
   * @default the search path
   */
  readonly schema?: string
}

/**
 * The tables of Axon Framework 4 and 5. Its processors are the consumers: all segments of one are one consumer, since an event is
 * handled by one segment and each of them passes it. A token that is not a `GapAwareTrackingToken` tells nothing: while a
 * processor is replayed or merged, `status()` says so.
 *
 * ```ts
 * postgresEvents({ pool, ...axon({ version: 4, storage: 'jpa', sequence: 'hibernate_sequence' }).events })
 * ```
 *
 * Throws `InvalidOptionError`.
 */
export function axon(options: AxonOptions): Preset {
  requireKnownOptions(options, AXON_OPTIONS)
  const { version, storage = version === 5 ? 'jpa' : undefined, naming = 'spring', schema } = options
  requireOneOf('version', version, [4, 5])
  requireOneOf('storage', storage, version === 4 ? ['jdbc', 'jpa'] : ['jpa'])
  requireOneOf('naming', naming, ['spring', 'jpa'])
  if (storage === 'jdbc') requireForJpaAlone(options)
  const named = storage === 'jpa' && naming === 'spring' ? underscored : folded
  const inSchema = schema === undefined ? '' : `${quoteIdentifier(requireText('schema', schema))}.`
  return {
    events: {
      table: inSchema + named(version === 4 ? 'DomainEventEntry' : 'AggregateEventEntry'),
      position: named('globalIndex'),
      eventType: version === 4 ? named('payloadType') : 'type',
      ...(storage === 'jpa' ? { sequence: sequenceOf(options) } : {}),
    },
    consumers: {
      table: inSchema + named('TokenEntry'),
      consumer: named('processorName'),
      checkpoint: 'token',
      axonTokens: { segment: 'segment', type: named('tokenType') },
      isConsumer: (name) => name !== CONFIG,
    },
  }
}

/** Where the token store keeps its own identifier. */
const CONFIG = '__config'

const AXON_OPTIONS: Readonly<Record<keyof AxonOptions, true>> = {
  version: true,
  storage: true,
  sequence: true,
  naming: true,
  schema: true,
}

function requireOneOf(option: string, value: unknown, known: readonly unknown[]): void {
  if (known.includes(value)) return
  throw new InvalidOptionError(option, known.map((each) => JSON.stringify(each)).join(' or '), value)
}

function requireForJpaAlone({ sequence, naming }: AxonOptions): void {
  const [option, value] = sequence === undefined ? ['naming', naming] : ['sequence', sequence]
  if (value === undefined) return
  throw new InvalidOptionError(option, "storage: 'jpa' beside it; with JDBC the table has a default", value)
}

function sequenceOf({ version, sequence, naming }: AxonOptions): string {
  if (sequence !== undefined) return requireText('sequence', sequence)
  if (version === 5) return AXON_5_SEQUENCE.replaceAll('-', naming === 'jpa' ? '-' : '_')
  throw new InvalidOptionError(
    'sequence',
    "the sequence of the entity DomainEventEntry: 'hibernate_sequence' under Hibernate 5, the one that orm.xml names under Hibernate 6",
    sequence,
  )
}

const AXON_5_SEQUENCE = 'aggregate-event-global-index-sequence'

/** As Spring Boot's naming strategy makes names: `domain_event_entry`. */
function underscored(name: string): string {
  return name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toLowerCase()
}

/** As PostgreSQL takes a name that is not quoted. */
function folded(name: string): string {
  return name.toLowerCase()
}
