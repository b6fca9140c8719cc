import { withJson } from '@tidemark/core/adapter'
import type { BoundedPool } from '../client.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { boundedPool } from '../query-timeout.ts'
import { consumersFinding, readStores, replicationFinding, storeFinding } from './catalog.ts'
import { commitsFinding } from './commits-seen.ts'
import { type Finding, type FindingCode, unknown } from './finding.ts'
import { inspectTable } from './inspected-table.ts'
import { type OpenTransaction, openTransactionFindings, readOpenTransactions } from './open-transactions.ts'
import {
  type DiagnoseOptions,
  eventsOf,
  type ResolvedDiagnoseOptions,
  resolveDiagnoseOptions,
} from './options.ts'
import { poolerFinding } from './pooler.ts'
import { readServer, type ServerFacts, serverFindings } from './server.ts'
import type { RecognisedStore } from './stores.ts'
import { endsFinding, locksFinding, planFinding } from './table.ts'

/** What `diagnose` has found. */
export interface Diagnosis {
  readonly findings: readonly Finding[]
  readonly stores: readonly RecognisedStore[]
  readonly openTransactions: readonly OpenTransaction[]
}

/** Of the stores that are recognised; a database with more is told of by its `table`. */
const MOST_TABLES = 3

/**
 * Says what it finds of a database: which event stores and consumers, each condition of the proof with the value found,
 * settings that hurt, transactions that are open, how long commits take to become visible. It only reads, and takes less than
 * `timeoutMs`. What cannot be read is a finding that says why: it does not throw for that.
 */
export async function diagnose(options: DiagnoseOptions): Promise<Diagnosis> {
  const resolved = resolveDiagnoseOptions(options)
  const { signal } = resolved
  const examination = new Examination(resolved)
  await examination.run()
  signal?.throwIfAborted()
  const { findings, stores, openTransactions } = examination
  const diagnosis: Diagnosis = { findings, stores, openTransactions }
  return withJson(diagnosis, () => ({ ...diagnosis }))
}

interface LookedAt {
  readonly events: ResolvedPostgresEventsOptions<unknown>
  readonly sequenceOid: string | undefined
}

/** One part after the other. A part that fails is a finding, and the next one is looked at all the same. */
class Examination {
  readonly #options: ResolvedDiagnoseOptions
  readonly #pool: BoundedPool
  readonly #budget: AbortSignal
  readonly findings: Finding[] = []
  stores: readonly RecognisedStore[] = []
  openTransactions: readonly OpenTransaction[] = []

  constructor(options: ResolvedDiagnoseOptions) {
    this.#options = options
    this.#pool = boundedPool(options.pool, options.queryTimeoutMs)
    this.#budget = this.#within(options.readMs)
  }

  async run(): Promise<void> {
    const server = await this.#read('connection', 'server', () => readServer(this.#pool, this.#budget))
    if (server === undefined) return
    this.findings.push(...serverFindings(server))
    await this.#look('pooler', 'server', () => poolerFinding(this.#pool, this.#budget))
    await this.#findStores()
    const tables = this.#tables()
    const looked: LookedAt[] = []
    for (const events of tables) looked.push(...(await this.#table(events, server)))
    await this.#transactions(server, looked.find(({ sequenceOid }) => sequenceOid !== undefined)?.sequenceOid)
    const first = looked[0]?.events
    if (first === undefined) return
    const { sampleMs, sampleTimeoutMs } = this.#options
    await this.#look('commits_seen', first.sql.table, () =>
      commitsFinding(first, sampleMs, this.#within(sampleTimeoutMs)),
    )
  }

  async #findStores(): Promise<void> {
    this.stores = (await this.#read('store', 'server', () => readStores(this.#pool, this.#budget))) ?? []
    const isAsked = this.#options.events !== undefined
    this.findings.push(...this.stores.map((store) => storeFinding(store, isAsked)))
    for (const table of this.stores.flatMap(({ consumerTables }) => consumerTables)) {
      await this.#look('consumers', table, () => consumersFinding(this.#pool, table, this.#budget))
    }
  }

  #tables(): readonly ResolvedPostgresEventsOptions<unknown>[] {
    const { events } = this.#options
    if (events !== undefined) return [events]
    if (this.stores.length === 0) this.findings.push(NO_TABLE)
    return this.stores
      .flatMap((store) => (store.events === undefined ? [] : [eventsOf(store.events, this.#options)]))
      .slice(0, MOST_TABLES)
  }

  /** Nothing where there is no such table. */
  async #table(
    events: ResolvedPostgresEventsOptions<unknown>,
    { isStandby }: ServerFacts,
  ): Promise<readonly LookedAt[]> {
    const budget = this.#budget
    const inspected = await this.#read('table_exists', events.sql.table, () => inspectTable(events, budget))
    if (inspected === undefined) return []
    this.findings.push(...inspected.findings)
    const { located, inspection } = inspected
    if (inspection === undefined) return []
    const { sequence, tableOid: oid, hasIndex, unreadableColumns, relations } = inspection
    const about = located.sql.table
    await this.#look('logical_replication', about, () =>
      replicationFinding(this.#pool, { oid, about }, budget),
    )
    const isReadable = unreadableColumns.length === 0 && relations[0]?.positionType !== undefined
    if (isReadable) await this.#look('page_plan', about, () => planFinding(located, budget))
    if (sequence?.mayRead && !isStandby) {
      await this.#look('pg_locks', about, () => locksFinding(located, sequence, budget))
      // Without an index it would read the whole table.
      if (isReadable && hasIndex) {
        await this.#look('explicit_positions', about, () => endsFinding(located, sequence, budget))
      }
    }
    return [{ events: located, sequenceOid: sequence?.oid }]
  }

  async #transactions({ seesSessions }: ServerFacts, sequenceOid: string | undefined): Promise<void> {
    const open = await this.#read('open_transactions', 'server', () =>
      readOpenTransactions(this.#pool, sequenceOid, this.#budget),
    )
    if (open === undefined) return
    this.openTransactions = open
    // Who sees but its own sessions cannot say that there is none.
    if (seesSessions || open.length > 0) this.findings.push(...openTransactionFindings(open))
  }

  async #look(code: FindingCode, about: string, read: () => Promise<Finding>): Promise<void> {
    const found = await this.#read(code, about, read)
    if (found !== undefined) this.findings.push(found)
  }

  /** `undefined`: it could not be read, and a finding says why. */
  async #read<T>(code: FindingCode, about: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read()
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      const isOver = error instanceof Error && error.name === 'TimeoutError'
      this.findings.push(unknown(code, about, isOver ? new Error(OUT_OF_TIME) : error))
      return undefined
    }
  }

  #within(ms: number): AbortSignal {
    const { signal } = this.#options
    const timeout = AbortSignal.timeout(Math.ceil(ms))
    return signal === undefined ? timeout : AbortSignal.any([timeout, signal])
  }
}

const OUT_OF_TIME = 'the time that all of this may take (timeoutMs) was over'

const NO_TABLE: Finding = {
  code: 'table_exists',
  severity: 'problem',
  about: 'server',
  found: 'no table of a well-known event store in this database, and none was named',
  expected: 'a table of events',
  toDo: 'Name it in the option table, and the column of its position in the option position.',
}
