import { explain } from '../http/explain.ts'
import { HttpError } from '../http/http-error.ts'
import type { ActionName, Job } from '../protocol.ts'

/** Ended ones are shown for so long. */
const KEPT_MS = 10 * 60_000
const MOST_KEPT = 100
const MOST_RUNNING = 50

/** Codes of errors after which what was asked for stays so. */
const STILL_ASKED: ReadonlySet<string> = new Set(['TIDEMARK_OPERATION_PENDING', 'TIDEMARK_WAIT_TIMEOUT'])

/** What is asked for. */
export interface Asked {
  readonly action: ActionName
  readonly what: string
  readonly who: string
  readonly why: string
}

export type Progress = (done: number, of: number) => void

export interface StartedJob {
  readonly id: string
  /** Rejects with the error of the work. */
  readonly ended: Promise<void>
}

/** What was asked for through this process: it goes on whether or not anybody looks. */
export class Jobs {
  readonly #changed: () => void
  #jobs: readonly Job[] = []
  #count = 0

  /** @param changed - called whenever there is something new to be shown */
  constructor(changed: () => void) {
    this.#changed = changed
  }

  /** `work` answers what it has come to, in words. Throws where too many run. */
  start(asked: Asked, work: (progress: Progress) => Promise<string>): StartedJob {
    if (this.#jobs.filter(({ state }) => state === 'running').length >= MOST_RUNNING) {
      throw new HttpError(503, 'TOO_MANY_JOBS', `${MOST_RUNNING} things are going on already.`, [
        'Wait until some have ended.',
      ])
    }
    const id = String(++this.#count)
    const job: Job = {
      id,
      ...asked,
      startedAtMs: Date.now(),
      endedAtMs: null,
      state: 'running',
      done: null,
      of: null,
      outcome: null,
      error: null,
    }
    this.#jobs = [job, ...this.#jobs]
    this.#changed()
    return { id, ended: this.#run(id, work) }
  }

  /** The newest first. */
  all(): readonly Job[] {
    const sinceMs = Date.now() - KEPT_MS
    const shown = this.#jobs.filter(({ endedAtMs }) => endedAtMs === null || endedAtMs >= sinceMs)
    this.#jobs = shown.slice(0, MOST_KEPT)
    return this.#jobs
  }

  find(id: string): Job | undefined {
    return this.#jobs.find((job) => job.id === id)
  }

  /** It was refused at once: nobody has to be shown it. */
  drop(id: string): void {
    this.#jobs = this.#jobs.filter((job) => job.id !== id)
    this.#changed()
  }

  async #run(id: string, work: (progress: Progress) => Promise<string>): Promise<void> {
    try {
      const outcome = await work((done, of) => this.#set(id, { done, of }))
      this.#set(id, { state: 'done', outcome, endedAtMs: Date.now() })
    } catch (error) {
      const told = explain(error).error
      const state = STILL_ASKED.has(told.code) ? 'asked' : 'failed'
      this.#set(id, { state, error: told, endedAtMs: Date.now() })
      if (state === 'failed') throw error
    }
  }

  #set(id: string, change: Partial<Job>): void {
    this.#jobs = this.#jobs.map((job) => (job.id === id ? { ...job, ...change } : job))
    this.#changed()
  }
}
