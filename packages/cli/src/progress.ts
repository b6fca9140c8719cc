import { duration } from '@tidemark/console/status'
import type { Io } from './io.ts'
import { plain } from './lines.ts'

/** How far something is. */
export interface Progress {
  readonly done: number
  /** `undefined`: it is not known how much there is. */
  readonly of: number | undefined
  readonly what: string
}

interface Sample {
  readonly atMs: number
  readonly done: number
}

/** The rate is that of the last so many looks. */
const SAMPLES = 20

/** How fast something goes, by its last looks. */
export class Rate {
  readonly #samples: Sample[] = []

  add(sample: Sample): void {
    this.#samples.push(sample)
    if (this.#samples.length > SAMPLES) this.#samples.shift()
  }

  /** `undefined`: nothing is known yet. */
  get perSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (first === undefined || last === undefined || last.atMs - first.atMs < 200) return undefined
    return Math.max(0, (last.done - first.done) / ((last.atMs - first.atMs) / 1_000))
  }
}

/** `1,200 of 4,800 positions, 25 %, 400 per second, 9 s left`; pure. */
export function formatProgress({ done, of, what }: Progress, perSecond: number | undefined): string {
  const number = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 0 })
  const parts = [of === undefined ? `${number(done)} ${what}` : `${number(done)} of ${number(of)} ${what}`]
  if (of !== undefined && of > 0) parts.push(`${Math.floor((Math.min(done, of) / of) * 100)} %`)
  if (perSecond !== undefined) {
    parts.push(
      `${perSecond.toLocaleString('en-US', { maximumFractionDigits: perSecond < 10 ? 1 : 0 })} per second`,
    )
    if (of !== undefined && perSecond > 0 && done < of) {
      parts.push(`${duration(((of - done) / perSecond) * 1_000)} left`)
    }
  }
  return parts.join(', ')
}

/** In a terminal a line that changes; elsewhere, as in the log of a build, a line now and then. */
const LINE_EVERY_MS = 10_000

/** Shows how far something is, beside the output. */
export class ProgressLine {
  readonly #io: Io
  readonly #rate = new Rate()
  #shownAtMs: number | undefined
  #isShown = false

  constructor(io: Io) {
    this.#io = io
  }

  at(progress: Progress): void {
    const nowMs = performance.now()
    this.#rate.add({ atMs: nowMs, done: progress.done })
    this.#show(formatProgress(progress, this.#rate.perSecond), nowMs)
  }

  say(text: string): void {
    this.#show(text, performance.now())
  }

  #show(text: string, nowMs: number): void {
    const { err } = this.#io
    if (err.isTerminal) {
      const width = err.columns ?? 80
      err.write(`\r\u001b[K${plain(text).slice(0, width - 1)}`)
      this.#isShown = true
      return
    }
    this.#shownAtMs ??= nowMs
    if (nowMs - this.#shownAtMs < LINE_EVERY_MS) return
    this.#shownAtMs = nowMs
    err.write(`${plain(text)}\n`)
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isShown) this.#io.err.write('\r\u001b[K')
    this.#isShown = false
  }
}

const PATIENCE_MS = 1_000

/** Says what is waited for, and for how long, once that takes more than a second. */
export async function patiently<T>(io: Io, what: string, work: () => Promise<T>): Promise<T> {
  const line = new ProgressLine(io)
  const startedMs = performance.now()
  const timer = setInterval(
    () => line.say(`${what}: ${duration(performance.now() - startedMs)}`),
    PATIENCE_MS,
  )
  try {
    return await work()
  } finally {
    clearInterval(timer)
    line.end()
  }
}
