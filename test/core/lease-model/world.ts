import type {
  LeaseCommand,
  LeaseInput,
  LeaseStanding,
} from '../../../packages/core/src/ownership/lease-standing.ts'
import { NOT_JOINED } from '../../../packages/core/src/ownership/lease-standing.ts'
import type { NodeReport } from '../../../packages/core/src/ports/leases.ts'
import { type Unit, unitKey, wholeUnit } from '../../../packages/core/src/ports/unit.ts'
import type { InMemoryLeases } from '../../../packages/core/src/testing/in-memory-leases.ts'
import type { Random } from '../model/random.ts'
import type { Subject } from './subject.ts'

/** What must never be. */
export type Harm =
  | 'a checkpoint moved under a fence that was not the newest'
  | 'two owners had the same fence'
  | 'an event was handled twice or left out'
  | 'a unit was taken from a node that could trust its lease'
  | 'a unit was given to a node that has no handler of it'
  | 'a node went on without a lease it could trust'
  | 'a node trusted its lease for longer than it lasts'
  | 'a node believed its memory, not the rows'
  | 'a unit was given back while it was worked on'
  | 'nobody works on a unit, or not who should'
  | 'it never settles'
  | 'more units moved than had to'

export class Violation extends Error {
  readonly harm: Harm

  constructor(harm: Harm) {
    super(harm)
    this.harm = harm
  }
}

export const LEASE_MS = 3_000
const ASK_TIMEOUT_MS = 1_000
/** A node that has lost its presence has another one by then. */
const PRESENCE_AGAIN_MS = 100

type Exchange = Extract<LeaseCommand, { readonly kind: 'renew' | 'claim' | 'release' | 'leave' }>

interface Asked {
  readonly node: Process
  readonly command: Exchange
  readonly sentAtMs: number
  answer?: LeaseInput
}

interface Batch {
  readonly node: Process
  readonly key: string
  readonly fence: bigint
  readonly from: number
}

/** One run of a daemon. */
interface Process {
  readonly id: string
  readonly units: readonly string[]
  /** What it cannot work on for the time being. */
  readonly unable: Set<string>
  /** Its clock is that far off. */
  readonly offMs: number
  standing: LeaseStanding
  readonly mayWork: Map<string, bigint>
  /** Where work is to end after the batch at hand. */
  readonly finishing: Map<string, bigint>
  asked: Asked | undefined
  dueAtMs: number
  life: 'running' | 'frozen' | 'killed' | 'over'
  presenceAgainAtMs: number
}

/** Nodes, a store and the network between them, in which everything may be slow, lost, late or gone. */
export class World {
  nowMs = 0
  moves = 0
  readonly units: readonly Unit[]
  readonly nodes: Process[] = []
  readonly store: InMemoryLeases
  readonly #subject: Subject
  readonly #random: Random
  readonly #sent: Asked[] = []
  readonly #batches: Batch[] = []
  readonly #handled = new Map<string, number>()
  readonly #owners = new Map<string, string>()
  #started = 0

  constructor(subject: Subject, random: Random, units: number) {
    this.#subject = subject
    this.#random = random
    this.units = Array.from({ length: units }, (_, index) => wholeUnit(`p${index}`))
    this.store = new subject.InMemoryLeases({
      units: () => this.units.map((unit) => ({ unit, source: 'events' })),
      isBusy: (key) => this.#batches.some((batch) => batch.key === key),
      nowMs: () => this.nowMs,
    })
  }

  get running(): readonly Process[] {
    return this.nodes.filter(({ life }) => life === 'running')
  }

  get living(): readonly Process[] {
    return this.nodes.filter(({ life }) => life === 'running' || life === 'frozen')
  }

  start(lacking?: Unit): void {
    const process: Process = {
      id: `node-${++this.#started}`,
      units: this.units.filter((unit) => unit !== lacking).map(unitKey),
      unable: new Set(),
      offMs: (this.#random.below(3) - 1) * 3_600_000,
      standing: NOT_JOINED,
      mayWork: new Map(),
      finishing: new Map(),
      asked: undefined,
      dueAtMs: Number.POSITIVE_INFINITY,
      life: 'running',
      presenceAgainAtMs: 0,
    }
    this.nodes.push(process)
    if (this.#random.chance(0.7)) this.store.keepPresence(process.id)
    this.#tell(process, { kind: 'due' })
  }

  stop(process: Process): void {
    this.#tell(process, { kind: 'stop' })
  }

  /** Its presence is gone at once, its requests and transactions may go on for a while. */
  kill(process: Process): void {
    process.life = 'killed'
    this.store.endPresence(process.id)
  }

  /** Something that it does not work on at the moment cannot be worked on there any more. */
  disable(process: Process): void {
    const isIdle = (unit: string): boolean =>
      !this.#batches.some(({ node, key }) => node === process && key === unit)
    const unit = this.#random.pick(process.units.filter(isIdle))
    if (unit !== undefined) process.unable.add(unit)
  }

  /** The connection of its presence is lost. */
  cull(process: Process): void {
    this.store.endPresence(process.id)
    process.presenceAgainAtMs = this.nowMs + PRESENCE_AGAIN_MS
  }

  /** Frozen nodes sleep through their timers, not through time. */
  advance(ms: number): void {
    // Whoever runs has its presence again in time.
    const again = this.living
      .map(({ presenceAgainAtMs }) => presenceAgainAtMs)
      .filter((atMs) => atMs > this.nowMs)
    const untilMs = Math.min(this.nowMs + ms, ...again)
    this.nowMs = untilMs
    for (const process of this.living) {
      if (process.presenceAgainAtMs === untilMs && process.life === 'running') {
        this.store.keepPresence(process.id)
        process.presenceAgainAtMs = 0
      }
    }
    for (const process of this.running) this.#fireTimers(process)
  }

  #fireTimers(process: Process): void {
    const { asked } = process
    if (asked && this.nowMs - asked.sentAtMs >= ASK_TIMEOUT_MS) {
      process.asked = undefined
      this.#tell(process, { kind: 'failed' })
    }
    if (process.dueAtMs <= this.nowMs) {
      process.dueAtMs = Number.POSITIVE_INFINITY
      this.#tell(process, { kind: 'due' })
    }
  }

  freeze(process: Process): void {
    process.life = 'frozen'
  }

  thaw(process: Process): void {
    process.life = 'running'
    if (process.presenceAgainAtMs > 0) {
      this.store.keepPresence(process.id)
      process.presenceAgainAtMs = 0
    }
  }

  /** The store carries out what was sent, in any order. Returns whether there was anything. */
  execute(isLost = false): boolean {
    const unexecuted = this.#sent.filter(({ answer }) => answer === undefined)
    const asked = this.#random.pick(unexecuted)
    if (asked === undefined) return false
    if (isLost) {
      this.#sent.splice(this.#sent.indexOf(asked), 1)
      return true
    }
    asked.answer = this.#carriedOut(asked)
    return true
  }

  deliver(isLost = false): boolean {
    const answered = this.#sent.filter(({ answer, node }) => answer !== undefined && node.life !== 'frozen')
    const asked = this.#random.pick(answered)
    if (asked?.answer === undefined) return false
    this.#sent.splice(this.#sent.indexOf(asked), 1)
    const { node, answer } = asked
    // Nobody waits for it any more.
    if (isLost || node.asked !== asked || node.life !== 'running') return true
    node.asked = undefined
    this.#tell(node, answer)
    return true
  }

  /** A node begins a batch at something that it may work on. */
  begin(): boolean {
    const process = this.#random.pick(this.running.filter(({ mayWork }) => mayWork.size > 0))
    const [key, fence] = this.#random.pick([...(process?.mayWork ?? [])]) ?? []
    if (process === undefined || key === undefined || fence === undefined) return false
    if (process.unable.has(key)) return false
    if (process.finishing.has(key) || this.#batches.some((batch) => batch.key === key)) return false
    // The row is locked and its fence compared, before anything is handled.
    if (!this.store.isNewest(key, fence)) return false
    this.#batches.push({ node: process, key, fence, from: this.#handled.get(key) ?? 0 })
    return true
  }

  /** The transaction of a batch ends, also where its process has lost the right, and, rolled back, where it is dead. */
  end(): boolean {
    const batch = this.#random.pick(this.#batches.filter(({ node }) => node.life !== 'frozen'))
    if (batch === undefined) return false
    const { node, key, fence, from } = batch
    this.#batches.splice(this.#batches.indexOf(batch), 1)
    if (node.life === 'running' && this.store.isNewest(key, fence)) {
      if (fence !== this.store.fenceOf(key)) {
        throw new Violation('a checkpoint moved under a fence that was not the newest')
      }
      if ((this.#handled.get(key) ?? 0) !== from)
        throw new Violation('an event was handled twice or left out')
      this.#handled.set(key, from + 1)
    }
    return true
  }

  finish(): void {
    for (const process of this.running) {
      for (const [unit, fence] of process.finishing) {
        if (this.#batches.some(({ node, key }) => node === process && key === unit)) continue
        process.finishing.delete(unit)
        process.mayWork.delete(unit)
        this.#tell(process, { kind: 'finished', unit, fence })
      }
    }
  }

  /** Nothing of what a dead process had goes on. */
  bury(): void {
    for (const batch of this.#batches.filter(({ node }) => node.life === 'killed' || node.life === 'over')) {
      this.#batches.splice(this.#batches.indexOf(batch), 1)
    }
    for (const asked of this.#sent.filter(({ node }) => node.life === 'killed' || node.life === 'over')) {
      this.#sent.splice(this.#sent.indexOf(asked), 1)
    }
  }

  #carriedOut({ node, command }: Asked): LeaseInput {
    switch (command.kind) {
      case 'renew': {
        const { nodes, leases } = this.store.renewNow(this.#report(node, command.isLeaving), LEASE_MS)
        const view = leases.map(({ unit, owner, fence }) => ({ unit: unitKey(unit), owner, fence }))
        return { kind: 'renewed', cluster: { nodes, leases: view } }
      }
      case 'claim': {
        const before = new Map(command.claims.map(({ unit }) => [unit, this.store.ownerOf(unit)]))
        const claims = this.#withUnits(command.claims)
        const claimed = this.store.claimNow(node.id, claims)
        for (const { unit, fence } of claimed) this.#judgeClaim(node, unitKey(unit), fence, before)
        return { kind: 'claimed', leases: claimed.map(({ unit, fence }) => ({ unit: unitKey(unit), fence })) }
      }
      case 'release':
        for (const { unit, fence } of command.leases) this.#judgeRelease(node, unit, fence)
        this.store.releaseNow(node.id, this.#withUnits(command.leases))
        return { kind: 'released' }
      case 'leave':
        this.store.leaveNow(node.id)
        return { kind: 'left' }
    }
  }

  #judgeClaim(
    node: Process,
    key: string,
    fence: bigint,
    before: ReadonlyMap<string, string | undefined>,
  ): void {
    this.moves++
    if (!node.units.includes(key)) throw new Violation('a unit was given to a node that has no handler of it')
    if (this.#owners.has(`${key} ${fence}`)) throw new Violation('two owners had the same fence')
    this.#owners.set(`${key} ${fence}`, node.id)
    const owner = this.living.find(({ id }) => id === before.get(key))
    if (owner === undefined || owner === node) return
    // It cannot make itself seen while it sleeps.
    if (owner.life === 'frozen' && owner.presenceAgainAtMs > 0) return
    const isTrusting = this.nowMs + owner.offMs < owner.standing.trustedUntilMs
    if (isTrusting && owner.standing.works.has(key)) {
      throw new Violation('a unit was taken from a node that could trust its lease')
    }
  }

  #judgeMemory(
    { id, standing }: Process,
    { cluster }: Extract<LeaseInput, { readonly kind: 'renewed' }>,
  ): void {
    for (const [unit, { fence }] of standing.works) {
      const isOwn = cluster.leases.some((row) => row.unit === unit && row.owner === id && row.fence === fence)
      if (!isOwn) throw new Violation('a node believed its memory, not the rows')
    }
  }

  #judgeRelease(node: Process, unit: string, fence: bigint): void {
    if (this.store.ownerOf(unit) !== node.id || this.store.fenceOf(unit) !== fence) return
    const isAtWork = this.#batches.some(
      (batch) => batch.node === node && batch.key === unit && batch.fence === fence,
    )
    if (isAtWork && node.life === 'running' && node.standing.works.has(unit)) {
      throw new Violation('a unit was given back while it was worked on')
    }
  }

  #report({ id, units, unable }: Process, isLeaving: boolean): NodeReport {
    return { id, name: id, source: 'events', capacity: 1, units, unable: [...unable], isLeaving }
  }

  #withUnits<L extends { readonly unit: string }>(
    leases: readonly L[],
  ): (Omit<L, 'unit'> & { readonly unit: Unit })[] {
    return leases.flatMap((lease) =>
      this.units.filter((unit) => unitKey(unit) === lease.unit).map((unit) => ({ ...lease, unit })),
    )
  }

  #tell(process: Process, input: LeaseInput): void {
    const nowMs = this.nowMs + process.offMs
    const { standing, commands } = this.#subject.next(process.standing, input, {
      nowMs,
      node: process.id,
      leaseMs: LEASE_MS,
    })
    process.standing = standing
    if (standing.works.size > 0 && nowMs >= standing.trustedUntilMs) {
      throw new Violation('a node went on without a lease it could trust')
    }
    const lastsUntilMs = this.store.expiresAtMs(process.id) + process.offMs
    if (standing.life === 'in' && standing.trustedUntilMs > lastsUntilMs) {
      throw new Violation('a node trusted its lease for longer than it lasts')
    }
    if (input.kind === 'renewed') this.#judgeMemory(process, input)
    for (const command of commands) this.#carryOut(process, command)
  }

  #carryOut(process: Process, command: LeaseCommand): void {
    switch (command.kind) {
      case 'renew':
      case 'claim':
      case 'release':
      case 'leave': {
        const asked = { node: process, command, sentAtMs: this.nowMs }
        process.asked = asked
        this.#sent.push(asked)
        break
      }
      case 'grant':
        process.finishing.delete(command.unit)
        process.mayWork.set(command.unit, command.fence)
        break
      case 'finish':
        process.finishing.set(command.unit, command.fence)
        break
      case 'revoke':
        process.finishing.delete(command.unit)
        process.mayWork.delete(command.unit)
        break
      case 'wait':
        process.dueAtMs = this.nowMs + command.ms
        break
      case 'end':
        process.life = 'over'
    }
  }
}
