import type { Subject } from './faults.ts'
import type { Random } from './random.ts'
import type { ModelServer } from './server.ts'

const TABLE = { tableOid: '16386', sequenceOid: '16385', sequenceFile: '16385' }

/** The daemon's backends, and what it knows about the run of the server that each belongs to. */
export class Sessions {
  pooled: boolean
  readonly #server: ModelServer
  readonly #subject: Subject
  #open: number[] = []
  /** The incarnation that a backend was found to belong to: as long as it lives it belongs to it. */
  readonly #compared: Map<number, string> = new Map()
  #highestLogPosition = 0

  constructor(server: ModelServer, subject: Subject, pooled: boolean) {
    this.#server = server
    this.#subject = subject
    this.pooled = pooled
  }

  /** A pooler gives each message any backend; otherwise one is kept until it dies. */
  pick(random: Random): number {
    this.#open = this.#open.filter((backend) => this.#server.isAlive(backend))
    const kept = this.pooled ? random.pick(this.#open) : this.#open[0]
    if (kept !== undefined && !(this.pooled && random.chance(0.2))) return kept
    const backend = this.#server.connect()
    this.#open.push(backend)
    return backend
  }

  reconnect(): void {
    this.#open = []
  }

  /** Looks at the server as for the first time. */
  enter(backend: number): string {
    const incarnation = this.#subject.proof.incarnationOf(this.#server.identity(), TABLE)
    this.#compared.clear()
    this.#compared.set(backend, incarnation)
    this.#highestLogPosition = this.#server.wal.inserted
    return incarnation
  }

  /** As a poll compares: with the sequence, all of it. */
  isSameIncarnation(backend: number, incarnation: string): boolean {
    const { incarnationOf } = this.#subject.proof
    return this.#compare(
      backend,
      incarnation,
      () => incarnationOf(this.#server.identity(), TABLE) === incarnation,
    )
  }

  /** As a load or a checkpoint compares: the server. */
  isSameRun(backend: number, incarnation: string): boolean {
    const { isSameServerRun } = this.#subject.proof
    return this.#compare(backend, incarnation, () => isSameServerRun(incarnation, this.#server.identity()))
  }

  #compare(backend: number, incarnation: string, isEqual: () => boolean): boolean {
    const log = this.#server.wal.inserted
    if (this.#compared.get(backend) !== incarnation) {
      if (!isEqual()) return false
      if (log < this.#highestLogPosition && !this.#subject.faults.ignoresLogPosition) return false
      this.#compared.set(backend, incarnation)
    }
    this.#highestLogPosition = Math.max(this.#highestLogPosition, log)
    return true
  }
}
