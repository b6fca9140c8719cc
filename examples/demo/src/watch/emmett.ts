import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import type { LossMonitor } from '@tidemark/core'
import { pause } from '../pause.ts'
import type { Append } from '../writers/writer-session.ts'
import type { Consumer } from './consumer.ts'

const PROCESSOR = 'accounts'
/** Partition and version are part of its key. */
export const WATCHED_PROCESSOR: string = `${PROCESSOR}:emt:default:1`
const CLOSE_MS = 3_000

export async function createEmmettTables(url: string): Promise<void> {
  const store = getPostgreSQLEventStore(url)
  await store.schema.migrate()
  await store.close()
}

/** What `appendToStream` calls, so that it can be part of any transaction. Each call appends to a stream of its own. */
export const appendToEmmett: Append = async (client, events) => {
  const { rows } = await client.query<{ global_positions: readonly string[] }>(
    `select global_positions from emt_append_to_stream(
       (select array_agg(gen_random_uuid()::text) from unnest($1::text[])), $2::jsonb[],
       (select array_agg('{}'::jsonb) from unnest($1::text[])), (select array_agg('1'::text) from unnest($1::text[])),
       $1::text[], (select array_agg('E'::text) from unnest($1::text[])), 'account-' || gen_random_uuid(), 'account', null, 'emt:default')`,
    [
      events.map(({ type }) => type),
      events.map(({ account, amount }) => JSON.stringify({ account, amount })),
    ],
  )
  return (rows[0]?.global_positions ?? []).map(Number)
}

/** What its handler is given. */
export interface EmmettMessage {
  readonly metadata: { readonly globalPosition: bigint }
}

interface Read {
  readonly atMs: number
  readonly furthest: number
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Emmett's own answer to a Ctrl-C stops its processor at once, and throws. The demo ends it in order. */
async function withoutSignalHandlers<T>(start: () => Promise<T>): Promise<T> {
  const before = SIGNALS.map((signal) => process.listeners(signal))
  const started = await start()
  SIGNALS.forEach((signal, index) => {
    for (const listener of process.listeners(signal)) {
      if (!before[index]?.includes(listener)) process.off(signal, listener)
    }
  })
  return started
}

/** Emmett's consumer as it comes from npm, with its defaults. */
export class EmmettConsumer implements Consumer {
  readonly name = 'Emmett 0.42'
  readonly watchedAs: string = `emt_processors.${WATCHED_PROCESSOR}`
  readonly monitor: Consumer['monitor']
  readonly handled: Set<number> = new Set()
  readonly #consumer: ReturnType<typeof postgreSQLEventStoreConsumer>
  /** What it has read, whether it has handed it to its handler or not. */
  readonly #read = new Set<number>()
  readonly #reads: Read[] = []
  #isNewBatch = false

  constructor(connectionString: string, handlerMs: number, monitor: LossMonitor<EmmettMessage>) {
    this.monitor = monitor
    this.#consumer = postgreSQLEventStoreConsumer({ connectionString })
    const reactor = this.#consumer.reactor({
      processorId: PROCESSOR,
      eachMessage: monitor.wrap(async ({ metadata }) => {
        if (this.#isNewBatch && handlerMs > 0) await pause(handlerMs, new AbortController().signal)
        this.#isNewBatch = false
        this.handled.add(Number(metadata.globalPosition))
      }),
    })
    const { handle, start } = reactor
    reactor.start = (options) => withoutSignalHandlers(() => start(options))
    reactor.handle = async (messages, context) => {
      this.#isNewBatch = true
      this.#note(messages.map(({ metadata }) => Number(metadata.globalPosition)))
      return await handle(messages, context)
    }
  }

  start(onTrouble: (error: unknown) => void): void {
    this.#consumer.start().catch(onTrouble)
  }

  couldSee(position: number, committedAtMs: number): boolean {
    if (this.#read.has(position)) return true
    const passing = this.#reads.find(({ furthest }) => furthest > position)
    return passing !== undefined && committedAtMs <= passing.atMs
  }

  /** Its own `close` may wait for a read that does not come. */
  async stop(): Promise<void> {
    await Promise.race([
      this.#consumer.close().catch(() => {}),
      pause(CLOSE_MS, new AbortController().signal),
    ])
  }

  #note(positions: readonly number[]): void {
    for (const position of positions) this.#read.add(position)
    const before = this.#reads.at(-1)?.furthest ?? 0
    this.#reads.push({
      atMs: performance.now(),
      furthest: positions.reduce((a, b) => Math.max(a, b), before),
    })
  }
}
