import { explain } from '../http/explain.ts'
import type { ResolvedConsoleOptions } from '../options.ts'
import type { Job, LiveMessage, LookFailure, Overview } from '../protocol.ts'
import type { SeenHolders } from '../status/reader.ts'
import { readSnapshot, type Snapshot } from '../status/snapshot.ts'
import { statusOf } from '../status/status.ts'
import { History } from './history.ts'
import { Moves } from './moves.ts'
import { overviewOf } from './overview.ts'

/** A whole look. What takes longer has no answer. */
const LOOK_TIMEOUT_MS = 30_000
/** Whoever polls looks for so many looks more. */
const POLLED_FOR_LOOKS = 3

type Listener = (message: LiveMessage) => void

/** One look at the database for all who look at the page, again and again; none while nobody does. */
export class SharedLook {
  readonly history: History = new History()
  readonly moves: Moves = new Moves()
  readonly #options: ResolvedConsoleOptions
  readonly #jobs: () => readonly Job[]
  readonly #listeners = new Set<Listener>()
  readonly #closed = new AbortController()
  readonly #seen: SeenHolders = new Map()
  readonly #run = Date.now().toString(36)
  #messages = 0
  #polledUntilMs = 0
  #looking: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #snapshot: Snapshot | undefined
  #overview: Overview | null = null
  #failure: LookFailure | null = null
  #error: unknown
  #message: LiveMessage | undefined

  constructor(options: ResolvedConsoleOptions, jobs: () => readonly Job[]) {
    this.#options = options
    this.#jobs = jobs
  }

  /** Tells every message from now on, and at once the newest one that is not old. Answers what ends that. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    if (this.#isFresh() && this.#message !== undefined) listener(this.#message)
    this.#schedule()
    return () => this.#listeners.delete(listener)
  }

  /** The newest message, for one who asks again and again. */
  async newest(): Promise<LiveMessage> {
    this.#polledUntilMs = performance.now() + POLLED_FOR_LOOKS * this.#options.lookEveryMs
    if (!this.#isFresh()) await this.#look()
    this.#schedule()
    return this.#message ?? this.#compose()
  }

  /** What the newest look has found. Rejects with why it has found nothing. */
  async looked(): Promise<{ readonly snapshot: Snapshot; readonly overview: Overview }> {
    if (!this.#isFresh()) await this.#look()
    const [snapshot, overview] = [this.#snapshot, this.#overview]
    if (this.#failure !== null || snapshot === undefined || overview === null) throw this.#error
    return { snapshot, overview }
  }

  /** A new look, as after something was changed. */
  async again(): Promise<void> {
    await this.#looking
    await this.#look()
  }

  /** Tells what has changed beside the database: jobs. */
  tell(): void {
    if (this.#message === undefined) return
    this.#message = this.#compose()
    for (const listener of this.#listeners) listener(this.#message)
  }

  async close(): Promise<void> {
    this.#closed.abort(new Error('the console was closed'))
    clearTimeout(this.#timer)
    this.#listeners.clear()
    await this.#looking
  }

  #isFresh(): boolean {
    return performance.now() - this.#lookedAtMs < this.#options.lookEveryMs
  }

  #isWatched(): boolean {
    return this.#listeners.size > 0 || performance.now() < this.#polledUntilMs
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#looking !== undefined || this.#closed.signal.aborted) return
    if (!this.#isWatched()) return
    const dueMs = Math.max(0, this.#lookedAtMs + this.#options.lookEveryMs - performance.now())
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        if (this.#isWatched()) void this.#look()
      },
      Math.min(dueMs, this.#options.lookEveryMs),
    )
    this.#timer.unref()
  }

  /** Never rejects, and is shared by all who want one meanwhile. */
  async #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined
      this.#schedule()
    })
    await this.#looking
  }

  async #lookOnce(): Promise<void> {
    try {
      const snapshot = await this.#read()
      const status = statusOf(snapshot)
      this.history.add(snapshot, status)
      this.moves.add(
        snapshot.sources.map(({ nodes }) => nodes),
        snapshot.atMs,
      )
      this.#overview = overviewOf(snapshot, status, {
        watches: this.#options.watches.map((watch) => watch.status()),
        rateOf: (name) => this.history.rateOf(name),
        withStatements: this.#options.showEventData,
      })
      this.#snapshot = snapshot
      this.#failure = null
    } catch (error) {
      this.#error = error
      const { message, code, next } = explain(error).error
      this.#failure = { message, code, next, sinceMs: this.#failure?.sinceMs ?? Date.now() }
    }
    this.#lookedAtMs = performance.now()
    this.#message = this.#compose()
    for (const listener of this.#listeners) listener(this.#message)
  }

  async #read(): Promise<Snapshot> {
    const { pool, checkpoints, operations, events, queryTimeoutMs } = this.#options
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(LOOK_TIMEOUT_MS)])
    const reader = { pool, checkpoints, operations, events, queryTimeoutMs, signal, seen: this.#seen }
    return await readSnapshot(reader)
  }

  #compose(): LiveMessage {
    return {
      id: `${this.#run}-${String(++this.#messages).padStart(8, '0')}`,
      sentAtMs: Date.now(),
      failure: this.#failure,
      overview: this.#overview,
      jobs: this.#jobs(),
    }
  }
}
