import type { LossMonitor } from '@tidemark/core'
import type pg from 'pg'
import { pause } from '../pause.ts'
import type { Consumer } from './consumer.ts'

export interface LoopOptions {
  /** For people. */
  readonly name: string
  /** In its table of checkpoints. */
  readonly id: string
  readonly schema: string
  /** It reads up to the newest event that is at least as old: 0 for none. */
  readonly waitMs: number
  readonly handlerMs: number
  readonly monitor: LossMonitor<readonly number[]>
}

export const LOOPS_TABLE = 'loops'

/** How long it rests between two batches. */
const PAUSE_MS = 20
const BATCH_SIZE = 100

/** The loop that people write: what is above the last position, in order, and the checkpoint in the handler's transaction. */
export class Loop implements Consumer {
  readonly name: string
  readonly watchedAs: string
  readonly monitor: Consumer['monitor']
  readonly handled: Set<number> = new Set()
  readonly #client: pg.Client
  readonly #options: LoopOptions
  readonly #stopping = new AbortController()
  readonly #handle: (positions: readonly number[]) => Promise<void>
  #running: Promise<void> = Promise.resolve()

  private constructor(client: pg.Client, options: LoopOptions) {
    this.#client = client
    this.#options = options
    this.name = options.name
    this.monitor = options.monitor
    this.#handle = options.monitor.wrap(() => pause(options.handlerMs, this.#stopping.signal))
    this.watchedAs = `${LOOPS_TABLE}.${options.id}`
  }

  /** It ends by itself when `onTrouble` is called. */
  static async start(
    client: pg.Client,
    options: LoopOptions,
    onTrouble: (error: unknown) => void,
  ): Promise<Loop> {
    const loop = new Loop(client, options)
    await client.query(`insert into ${options.schema}.${LOOPS_TABLE} values ($1, 0)`, [options.id])
    loop.#running = loop.#run().catch(onTrouble)
    return loop
  }

  /** It reads all that is visible above its checkpoint, in order: whatever it was not given was not visible. */
  couldSee(): boolean {
    return false
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    await this.#client.end()
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#handleBatch()
      await pause(PAUSE_MS, this.#stopping.signal)
    }
  }

  async #handleBatch(): Promise<void> {
    const { schema, id } = this.#options
    await this.#client.query('begin')
    const stored = await this.#client.query(`select position from ${schema}.${LOOPS_TABLE} where name = $1`, [
      id,
    ])
    const positions = await this.#read(stored.rows[0]?.position)
    const last = positions.at(-1)
    if (last !== undefined) {
      await this.#handle(positions)
      await this.#client.query(`update ${schema}.${LOOPS_TABLE} set position = $2 where name = $1`, [
        id,
        last,
      ])
    }
    await this.#client.query('commit')
    for (const position of positions) this.handled.add(position)
  }

  async #read(above: string): Promise<readonly number[]> {
    const { schema, waitMs } = this.#options
    const oldEnough = `and position <= (
      select max(position) from ${schema}.events
      where position > $1 and appended_at <= clock_timestamp() - interval '${waitMs} ms'
    )`
    const { rows } = await this.#client.query<{ position: string }>(
      `select position from ${schema}.events where position > $1 ${waitMs === 0 ? '' : oldEnough}
       order by position limit ${BATCH_SIZE}`,
      [above],
    )
    return rows.map(({ position }) => Number(position))
  }
}
