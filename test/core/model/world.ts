import { ModelAgent } from './agent.ts'
import type { DaemonParts, DaemonSetting } from './daemon-parts.ts'
import type { Subject } from './faults.ts'
import type { Judge } from './judge.ts'
import { Journal, Projection } from './projection.ts'
import type { Random } from './random.ts'
import { ModelRunner } from './runner.ts'
import { ModelServer, type ServerSetting } from './server.ts'
import { Sessions } from './sessions.ts'

export interface WorldSetting extends ServerSetting, DaemonSetting {
  readonly projections: number
}

/** With all writers finished, this many polls suffice: one may fail, the next settles everything. */
const POLLS_AT_REST = 2

/** It opens, recalls, takes three steps, looks the mark up, is done, and saves; it may begin anew after the third step. */
const STEPS_OF_A_POLL = 12

/** A server, what is stored, and the daemon: everything that one history happens to. */
export class World {
  readonly server: ModelServer
  daemon: ModelDaemon
  crashes = 0
  readonly setting: WorldSetting
  readonly #subject: Subject
  readonly #judge: Judge
  readonly #journal: Journal
  readonly #projections: readonly Projection[]

  constructor(setting: WorldSetting, subject: Subject, judge: Judge) {
    const server = new ModelServer(setting, judge)
    this.server = server
    this.setting = setting
    this.#subject = subject
    this.#judge = judge
    const journal = new Journal(server, setting.ownsCheckpoints)
    this.#journal = journal
    this.#projections = Array.from(
      { length: setting.projections },
      (_, index) => new Projection(index, server, journal, judge),
    )
    this.daemon = this.#startDaemon()
  }

  restartDaemon(): void {
    this.daemon = this.#startDaemon()
  }

  #startDaemon(): ModelDaemon {
    return new ModelDaemon({
      server: this.server,
      journal: this.#journal,
      projections: this.#projections,
      setting: this.setting,
      subject: this.#subject,
      sessions: new Sessions(this.server, this.#subject, this.setting.pooled),
      judge: this.#judge,
    })
  }

  /** Lets every writer finish and the daemon come to rest, then checks that nothing is missing. */
  comeToRest(random: Random): void {
    this.#finishWriters(random)
    const { agent, runners, sessions } = this.daemon
    sessions.pooled = false
    this.#poll(random)
    const handedOut = BigInt(this.server.sequence.last)
    if (agent.reading?.settled !== handedOut) {
      this.#judge.report('not settled at rest', `settled ${agent.reading?.settled}, handed out ${handedOut}`)
    }
    // A page of another incarnation, one for each projection, makes the agent begin again.
    for (let tries = 0; tries < 1 + runners.length; tries++) {
      for (const runner of runners) runner.catchUp(random)
      this.#poll(random)
    }
    for (const runner of runners) runner.catchUp(random)
    for (const projection of this.#projections) projection.checkComplete()
  }

  #poll(random: Random): void {
    for (let polls = 0; polls < POLLS_AT_REST; polls++) this.daemon.poll(random)
  }

  #finishWriters(random: Random): void {
    const { server } = this
    for (const transaction of [...server.transactions]) {
      const commit = random.chance(0.8)
      if (transaction.phase === 'prepared') server.finishPrepared(transaction, commit)
      if (transaction.phase === 'open' && commit) server.commit(transaction, random.chance(0.5))
      if (transaction.phase === 'open') server.rollBack(transaction)
      if (transaction.phase === 'committing') server.show(transaction)
      server.release(transaction)
    }
    server.wal.flush()
  }
}

class ModelDaemon {
  readonly agent: ModelAgent
  readonly sessions: Sessions
  readonly runners: readonly ModelRunner[]

  constructor(parts: DaemonParts) {
    const agent = new ModelAgent(parts)
    this.agent = agent
    this.sessions = parts.sessions
    this.runners = parts.projections.map((projection) => new ModelRunner(parts, agent, projection))
  }

  /** Ends the poll at hand and takes a whole one; gives up where that one has to wait. */
  poll(random: Random): void {
    const { agent } = this
    for (let steps = 0; steps < STEPS_OF_A_POLL && !agent.isBetweenPolls; steps++) agent.step(random)
    for (let steps = 0; steps < STEPS_OF_A_POLL; steps++) {
      agent.step(random)
      if (agent.isBetweenPolls && agent.reading) return
    }
  }
}
