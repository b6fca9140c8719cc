import type { Logger, Watch } from '@tidemark/core'
import { explain } from '../command-line.ts'
import { grouped } from '../view/format.ts'
import type { Consumer } from './consumer.ts'
import type { Store } from './store.ts'

interface Shown {
  readonly store: Store
  readonly consumers: readonly Consumer[]
  readonly watch: Watch
}

const LINE_EVERY_MS = 2_000
/** Of what the watch writes to its log: the first of each consumer shows what they look like. */
const LOG_LINES_PER_CONSUMER = 1

/** The verdict has them all. */
const MOST_TROUBLES_SAID = 5

/** What is said on standard error while the demo runs. */
export class Voice {
  readonly troubles: string[] = []
  readonly logger: Logger = {
    info: () => {},
    warn: (line) => this.#logged(line),
    error: (line) => this.#logged(line),
  }
  readonly #timer: NodeJS.Timeout
  readonly #seen = new Map<string, number>()
  readonly #startedMs = performance.now()
  scenes: readonly Shown[] = []

  constructor(metricsUrl: string) {
    this.say(`/metrics of the watch, as Prometheus reads them, while this runs: ${metricsUrl}`)
    this.#timer = setInterval(() => this.#status(), LINE_EVERY_MS)
  }

  say(text: string): void {
    const seconds = ((performance.now() - this.#startedMs) / 1_000).toFixed(0)
    process.stderr.write(`${seconds.padStart(3)} s  ${text}\n`)
  }

  trouble(what: string, error?: unknown): void {
    const text = error === undefined ? what : `${what}: ${explain(error)}`
    if (this.troubles.push(text) <= MOST_TROUBLES_SAID) this.say(`error: ${text}`)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #logged(line: string): void {
    const [, consumer = line] = /consumer "([^"]+)"/.exec(line) ?? []
    const seen = (this.#seen.get(consumer) ?? 0) + 1
    this.#seen.set(consumer, seen)
    if (seen <= LOG_LINES_PER_CONSUMER) this.say(`log of the watch: ${line}`)
  }

  #status(): void {
    if (this.scenes.length === 0) return
    const appended = this.scenes.reduce((sum, { store }) => sum + store.ledger.appended, 0)
    const told = this.scenes.flatMap(({ consumers, watch }) => {
      const watched = watch.status().consumers
      return consumers.map(({ name, watchedAs }) => {
        const { lost = 0 } = watched.find(({ consumer }) => consumer === watchedAs) ?? {}
        return `${name} ${grouped(lost)}`
      })
    })
    this.say(`${grouped(appended)} events committed; lost, as the watch tells so far: ${told.join(', ')}`)
  }
}
