import type { EventSource, HighWaterReading } from '@tidemark/core'
import { type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { type Cost, costOf } from './cost.ts'

/** What is measured of a table, each as `Cost` says. */
export interface Costs {
  /** Opening the source and its first poll, once. */
  readonly startMs: number
  /** A poll while nothing is open and nothing has come. */
  readonly probe?: Cost
  /** A poll while a writer is open. */
  readonly poll: Cost
  /** The same, where it also looks whether what was proven empty still is: every 100 ms at most. */
  readonly look: Cost
  /** 500 events. */
  readonly page?: Cost
}

const PAGE_EVENTS = 500
const LOOK_EVERY_MS = 100

/** A source on one connection, so that one backend serves it. */
export class MeasuredSource {
  readonly #pool: pg.Pool
  readonly #source: EventSource<bigint, PostgresRow>
  readonly #signal: AbortSignal = new AbortController().signal
  #backendPid = 0
  #reading: HighWaterReading<bigint> | undefined

  constructor(connectionString: string) {
    this.#pool = new pg.Pool({ connectionString, max: 1 })
    this.#source = postgresEvents({ pool: this.#pool, table: 'events', eventType: 'type' })
  }

  get reading(): HighWaterReading<bigint> {
    if (this.#reading === undefined) throw new Error('start() comes first')
    return this.#reading
  }

  /** How long it took, in ms. The connection is made before. */
  async start(): Promise<number> {
    const { rows } = await this.#pool.query<{ pid: number }>('select pg_backend_pid() as pid')
    this.#backendPid = rows[0]?.pid ?? 0
    const beganMs = performance.now()
    const opened = await this.#source.open({ signal: this.#signal })
    this.#reading = await this.#source.readHighWater({
      previous: undefined,
      opened,
      stored: [],
      sharesLog: true,
      signal: this.#signal,
    })
    return performance.now() - beganMs
  }

  async poll(): Promise<void> {
    const previous = this.reading
    const opened = { incarnation: previous.incarnation, memory: undefined }
    const request = { previous, opened, stored: undefined, sharesLog: true, signal: this.#signal }
    this.#reading = await this.#source.readHighWater(request)
  }

  async pollCost(times: number): Promise<Cost> {
    return await costOf(this.#backendPid, { times }, () => this.poll())
  }

  async lookCost(times: number): Promise<Cost> {
    return await costOf(this.#backendPid, { times, pauseMs: LOOK_EVERY_MS + 1 }, () => this.poll())
  }

  /** Pages that begin at the same distance from each other, from the first event to the mark. */
  async pageCost(times: number): Promise<Cost> {
    const { mark, incarnation, settled, logPosition } = this.reading
    if (mark === undefined) throw new Error('no event is settled')
    let n = 0
    return await costOf(this.#backendPid, { times }, async () => {
      const after = (mark * BigInt(n++ % times)) / BigInt(times)
      const { events } = await this.#source.load({
        after,
        upTo: mark,
        limit: PAGE_EVENTS,
        eventTypes: undefined,
        evidence: { incarnation, settled, logPosition },
        signal: this.#signal,
      })
      if (events.length === 0) throw new Error('an empty page')
    })
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }
}
