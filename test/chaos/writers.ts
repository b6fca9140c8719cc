import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { expect, onTestFinished } from 'vitest'
import type { Random } from '../core/model/random.ts'
import { branch } from './seed.ts'
import type { ChaosStore } from './store.ts'
import { until } from './until.ts'

export interface WritersOptions {
  readonly random: Random
  readonly writers?: number
  /** `synchronous_commit = off`: what was acknowledged may go with a crash. */
  readonly asynchronous?: boolean
  /** The longest pause between two transactions of one writer. */
  readonly pauseMs?: number
  /** Some transactions are one statement without `begin`, and some append many events. */
  readonly isVaried?: boolean
}

/** Applications that append as real ones do: savepoints, rollbacks, two-phase commits, lost sessions, slow ones. */
export interface Writers {
  /** Ends them, and finishes every prepared transaction, also of sessions that were lost in between. */
  stop(): Promise<void>
  /** After `stop`: everything acknowledged is there (if commits were synchronous), nothing rolled back is. */
  expectAcknowledged(): Promise<void>
}

const UNDEFINED_OBJECT = '42704'

type Outcome = 'committed' | 'rolled back'

export function startWriters(store: ChaosStore, options: WritersOptions): Writers {
  const { random, writers = 6, asynchronous = false, pauseMs = 4, isVaried = false } = options
  const stopping = new AbortController()
  const outcomes = new Map<string, Outcome>()
  const loops = Array.from({ length: writers }, () =>
    new Writer(store, branch(random), {
      asynchronous,
      pauseMs,
      isVaried,
      outcomes,
      signal: stopping.signal,
    }).run(),
  )
  const everyLoop = Promise.all(loops)
  everyLoop.catch(() => {})
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping.abort()
    stopped ??= everyLoop.then(() => finishPrepared(store, branch(random)))
    return stopped
  }
  // A test that failed has not stopped them.
  onTestFinished(async () => {
    stopping.abort()
    await everyLoop.catch(() => {})
  })
  return {
    stop,
    expectAcknowledged: async () => {
      const { rows } = await store.query('select id from events')
      const ids = new Set(rows.map((row) => row.id as string))
      const of = (outcome: Outcome): string[] =>
        [...outcomes].filter(([, is]) => is === outcome).map(([id]) => id)
      expect(of('rolled back').filter((id) => ids.has(id))).toEqual([])
      if (!asynchronous) expect(of('committed').filter((id) => !ids.has(id))).toEqual([])
    },
  }
}

interface WriterParts {
  readonly asynchronous: boolean
  readonly pauseMs: number
  readonly isVaried: boolean
  readonly outcomes: Map<string, Outcome>
  readonly signal: AbortSignal
}

class Writer {
  readonly #store: ChaosStore
  readonly #random: Random
  readonly #parts: WriterParts
  /** Prepared, and not yet known to be finished: who prepares has to come back after a fault. */
  #open: { readonly name: string; readonly ids: readonly string[] } | undefined

  constructor(store: ChaosStore, random: Random, parts: WriterParts) {
    this.#store = store
    this.#random = random
    this.#parts = parts
  }

  /** Goes on over lost sessions and a server that is down. */
  async run(): Promise<void> {
    const { signal, asynchronous, pauseMs } = this.#parts
    while (!signal.aborted) {
      let client: Client | undefined
      try {
        client = await this.#store.connect()
        if (asynchronous) await client.query('set synchronous_commit = off')
        if (this.#open) await this.#finish(client)
        while (!signal.aborted) {
          await this.#transaction(client)
          await sleep(this.#random.below(pauseMs))
        }
      } catch {
        // Whether the last transaction was committed is not known then: no outcome was written down.
        await sleep(5)
      } finally {
        await client?.end().catch(() => {})
      }
    }
  }

  async #transaction(client: Client): Promise<void> {
    const choice = this.#random.next()
    if (this.#parts.isVaried && this.#random.chance(0.2)) return await this.#alone(client)
    await client.query('begin')
    if (this.#parts.isVaried && this.#random.chance(0.02)) {
      return await this.#end(client, 'commit', await this.#insert(client, 20 + this.#random.below(100)))
    }
    const ids = await this.#insert(client, 1 + this.#random.below(3))
    if (choice < 0.1) return await this.#end(client, 'rollback', ids)
    if (choice < 0.2) return await this.#savepoint(client, ids)
    if (choice < 0.26) return await this.#prepared(client, ids)
    if (choice < 0.29) return await this.#terminated(client)
    if (choice < 0.35) {
      await sleep(20 + this.#random.below(250))
      ids.push(...(await this.#insert(client, 1)))
    }
    await this.#end(client, 'commit', ids)
  }

  async #alone(client: Client): Promise<void> {
    for (const id of await this.#insert(client, 1)) this.#parts.outcomes.set(id, 'committed')
  }

  async #insert(client: Client, count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, () => randomUUID())
    for (const id of ids) {
      await client.query('insert into events (id, type) values ($1, $2)', [
        id,
        this.#random.chance(0.3) ? 'rare' : 'common',
      ])
    }
    return ids
  }

  async #end(client: Client, how: string, ids: readonly string[]): Promise<void> {
    const { command } = await client.query(how)
    const outcome = command.startsWith('COMMIT') ? 'committed' : 'rolled back'
    for (const id of ids) this.#parts.outcomes.set(id, outcome)
  }

  async #savepoint(client: Client, ids: readonly string[]): Promise<void> {
    await client.query('savepoint s')
    const given = await this.#insert(client, 2)
    await client.query('rollback to savepoint s')
    const kept = await this.#insert(client, 1)
    await this.#end(client, 'commit', [...ids, ...kept])
    for (const id of given) this.#parts.outcomes.set(id, 'rolled back')
  }

  async #prepared(client: Client, ids: readonly string[]): Promise<void> {
    const name = `chaos-${randomUUID()}`
    this.#open = { name, ids }
    await client.query(`prepare transaction '${name}'`)
    await sleep(this.#random.below(120))
    await this.#finish(client)
  }

  async #finish(client: Client): Promise<void> {
    if (!this.#open) return
    const { name, ids } = this.#open
    const how = this.#random.chance(0.7) ? 'commit' : 'rollback'
    try {
      await this.#end(client, `${how} prepared '${name}'`, ids)
    } catch (error) {
      // It was never prepared, or its end was not answered: its outcome is not known.
      if ((error as { code?: string }).code !== UNDEFINED_OBJECT) throw error
    }
    this.#open = undefined
  }

  async #terminated(client: Client): Promise<void> {
    const { rows } = await client.query('select pg_backend_pid() as pid')
    await this.#store.query('select pg_terminate_backend($1)', [rows[0].pid])
    await client.query('select 1')
  }
}

async function finishPrepared(store: ChaosStore, random: Random): Promise<void> {
  await until('the prepared transactions are finished', async () => {
    const { rows } = await store.query(`select gid from pg_prepared_xacts where gid like 'chaos-%'`)
    for (const { gid } of rows) {
      await store.query(`${random.chance(0.5) ? 'commit' : 'rollback'} prepared '${gid}'`)
    }
    return true
  })
}

/** What must not hold anything up: a transaction that has written elsewhere, and a repeatable-read reader. */
export function startBystanders(store: ChaosStore): { stop(): Promise<void> } {
  let stopping = false
  const open = new Set<Client>()
  const stay = async (...statements: string[]): Promise<void> => {
    while (!stopping) {
      try {
        const client = await store.connect()
        open.add(client)
        const gone = new Promise<void>((resolve) => client.once('end', resolve))
        for (const statement of statements) await client.query(statement)
        if (stopping) await client.end()
        await gone
        open.delete(client)
      } catch {
        await sleep(20)
      }
    }
  }
  const staying = Promise.all([
    stay('begin', 'insert into unrelated values (1)'),
    stay('begin isolation level repeatable read', 'select count(*) from events'),
  ])
  const stop = async (): Promise<void> => {
    stopping = true
    for (const client of open) await client.end().catch(() => {})
    await staying
  }
  onTestFinished(stop)
  return { stop }
}
