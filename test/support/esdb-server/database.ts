import { GENERATIONS, type Generation, NEWEST } from './generations.ts'
import type { Log } from './log.ts'
import { Misbehaviour } from './misbehaviour.ts'
import { OpenCalls } from './open-calls.ts'
import { Groups } from './persistent-subscriptions/groups.ts'
import type { ClusterNode } from './steering.ts'

/** What the handlers of one server share. */
export class Database {
  readonly calls: OpenCalls = new OpenCalls()
  readonly misbehaviour: Misbehaviour = new Misbehaviour()
  readonly generation: Generation
  /** What its gossip says; by itself it is alone, and leads. */
  cluster: readonly ClusterNode[] | undefined
  eventsAppended = 0
  #log: Log
  #groups: Groups

  constructor(log: Log, generation: Generation = GENERATIONS[NEWEST]) {
    this.generation = generation
    this.#log = log
    this.#groups = new Groups(log)
  }

  get log(): Log {
    return this.#log
  }

  get groups(): Groups {
    return this.#groups
  }

  /** As a new process would find it: what was in memory is gone, and with another log the disk too. */
  reload(log: Log): void {
    const settings = log === this.#log ? this.#groups.all.map((group) => group.settings) : []
    this.#groups.stop()
    this.#log = log
    this.#groups = new Groups(log, settings)
  }
}
