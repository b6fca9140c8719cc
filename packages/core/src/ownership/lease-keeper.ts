import { Changes } from '../kernel/changes.ts'
import type { Clock } from '../kernel/clock.ts'
import { type Deferred, deferred, untilAborted } from '../kernel/deferred.ts'
import { describeError } from '../kernel/describe-error.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { Cluster, Lease, Leases, NodeReport } from '../ports/leases.ts'
import { type Unit, unitKey, unitName } from '../ports/unit.ts'
import { inBackground } from '../telemetry/background.ts'
import type { Logger } from '../telemetry/logger.ts'
import { next } from './lease.ts'
import { LeasePresence } from './lease-presence.ts'
import {
  type ClusterView,
  type LeaseCommand,
  type LeaseInput,
  type LeaseStanding,
  NOT_JOINED,
  type UnitLease,
} from './lease-standing.ts'
import type { KnownCluster } from './status.ts'

export interface KeeperParts {
  readonly leases: Leases
  readonly node: Omit<NodeReport, 'units' | 'unable' | 'isLeaving'>
  /** What it has handlers of, as `NodeReport.units`. */
  readonly units: readonly string[]
  /** Units that it cannot work on for the time being. */
  readonly unable: () => readonly UnableUnit[]
  readonly leaseMs: number
  readonly clock: Clock
  readonly logger: Logger
  /** This node is given the unit. */
  readonly onGrant: (unit: Unit) => void
}

/** A unit that this node cannot work on for the time being. */
export interface UnableUnit {
  readonly unit: Unit
  /** As a sentence, for the log. */
  readonly why: string
  /** Its loop does not run any more: nobody waits until it says that its work has ended. */
  readonly isLost: boolean
}

/** The right to work at a unit, as long as neither signal has fired. */
export interface HeldLease {
  readonly fence: bigint
  /** Fires when this node no longer has it, or cannot be sure that it has. */
  readonly lost: AbortSignal
  /** Fires when another node is to have it. */
  readonly recalled: AbortSignal
}

type Exchange = Extract<LeaseCommand, { readonly kind: 'renew' | 'claim' | 'release' | 'leave' }>

/** Without a reason of its own each abort makes an error with its stack. */
const OVER = Symbol('the node is over')

/**
 * Carries out what the machine of this node's leases decides (lease.ts), and hands it what came of that: one for all units of a
 * daemon. An exchange with the store that takes longer than a quarter of the lease is given up, so that the next one is in time.
 */
export class LeaseKeeper {
  readonly #parts: KeeperParts
  readonly #presence: LeasePresence
  readonly #failures = new FailureLog()
  readonly #granted = new Changes()
  readonly #over = new AbortController()
  readonly #ended: Deferred = deferred()
  readonly #held = new Map<string, Held>()
  /** Each that a look has found, by its key. */
  readonly #units = new Map<string, Unit>()
  #standing: LeaseStanding = NOT_JOINED
  #wait = new AbortController()
  #cluster: Cluster | undefined
  #unable: readonly UnableUnit[] = []
  #renewedAtMs: number | undefined
  #hasBegun = false

  constructor(parts: KeeperParts) {
    this.#parts = parts
    this.#presence = new LeasePresence({ ...parts, hint: () => this.hint() }, this.#over.signal)
  }

  /** Work at the unit begins, until `idle` or `finished` is told; `undefined`: this node may not work at it, or is to end. */
  take(unit: Unit): HeldLease | undefined {
    const held = this.#held.get(unitKey(unit))
    if (held === undefined || held.lease.recalled.aborted) return undefined
    held.isTaken = true
    return held.lease
  }

  /** Nothing is at hand at the unit, until it is taken again. */
  idle(unit: Unit): void {
    const held = this.#held.get(unitKey(unit))
    if (held === undefined) return
    held.isTaken = false
    if (held.lease.recalled.aborted) this.finished(unit, held.lease.fence)
  }

  /** Resolves when the node may work at the unit, or `signal` fires. */
  async granted(unit: Unit, signal: AbortSignal): Promise<void> {
    const mayWork = (): boolean => this.#held.get(unitKey(unit))?.lease.recalled.aborted === false
    while (!mayWork() && !signal.aborted) await untilAborted(this.#granted.next(), signal)
  }

  /** Whether the last look has found the row of that unit. */
  hasSeen(unit: Unit): boolean {
    const key = unitKey(unit)
    return this.#cluster?.leases.some((lease) => unitKey(lease.unit) === key) ?? false
  }

  get known(): KnownCluster {
    const { life } = this.#standing
    return {
      life: life === 'in' && this.#renewedAtMs === undefined ? 'joining' : life,
      seenBy: this.#presence.seenBy,
      renewedAtMs: this.#renewedAtMs,
      cluster: this.#cluster,
    }
  }

  start(): void {
    this.#hasBegun = true
    inBackground(() => this.#next({ kind: 'due' }))
  }

  /** Something may have changed in the store. */
  hint(): void {
    if (this.#hasBegun && !this.#over.signal.aborted) this.#next({ kind: 'hint' })
  }

  /** The work under that fence has ended. */
  finished(unit: Unit, fence: bigint): void {
    if (!this.#over.signal.aborted) this.#next({ kind: 'finished', unit: unitKey(unit), fence })
  }

  /** Gives back each unit as soon as the work at it has ended, and leaves. Resolves when that is done, or has failed. */
  async stop(): Promise<void> {
    if (!this.#hasBegun) return
    if (!this.#over.signal.aborted) inBackground(() => this.#next({ kind: 'stop' }))
    await this.#ended.promise
  }

  /** Nobody waits any more. What it has expires. */
  giveUp(): void {
    this.#over.abort(OVER)
    this.#wait.abort(OVER)
    this.#ended.resolve()
  }

  #next(input: LeaseInput): void {
    const { clock, node, leaseMs } = this.#parts
    const { standing, commands } = next(this.#standing, input, {
      nowMs: clock.nowMs(),
      node: node.id,
      leaseMs,
    })
    this.#standing = standing
    this.#tell(input, commands)
    for (const command of commands) this.#carryOut(command)
  }

  #carryOut(command: LeaseCommand): void {
    switch (command.kind) {
      case 'renew':
      case 'claim':
      case 'release':
      case 'leave':
        void this.#ask(command)
        break
      case 'grant':
        this.#grant(command)
        break
      case 'finish':
        this.#recall(command)
        break
      case 'revoke': {
        const held = this.#held.get(command.unit)
        this.#held.delete(command.unit)
        held?.lose()
        break
      }
      case 'wait':
        void this.#sleep(command.ms)
        break
      case 'end':
        this.giveUp()
    }
  }

  #grant({ unit: key, fence }: UnitLease): void {
    const [lost, recalled] = [new AbortController(), new AbortController()]
    this.#held.set(key, {
      lease: { fence, lost: lost.signal, recalled: recalled.signal },
      lose: () => lost.abort(OVER),
      recall: () => recalled.abort(OVER),
      isTaken: false,
    })
    const unit = this.#units.get(key)
    if (unit) this.#parts.onGrant(unit)
    this.#granted.tell()
  }

  /** What nobody works at is given back at once. */
  #recall({ unit: key, fence }: UnitLease): void {
    const held = this.#held.get(key)
    held?.recall()
    if (held?.isTaken === true) return
    queueMicrotask(() => this.#next({ kind: 'finished', unit: key, fence }))
  }

  async #ask(command: Exchange): Promise<void> {
    const { clock, leaseMs, logger } = this.#parts
    const call = new AbortController()
    const endCall = (): void => call.abort(OVER)
    this.#over.signal.addEventListener('abort', endCall)
    void clock.sleep(leaseMs / CALLS_IN_A_LEASE, call.signal).then(() => call.abort(new Error(NO_ANSWER)))
    let answer: LeaseInput
    try {
      answer = await this.#answered(command, call.signal)
      this.#failures.ended(clock.nowMs())
    } catch (error) {
      answer = { kind: 'failed' }
      const isOver = this.#over.signal.aborted
      if (!isOver && this.#failures.failed(clock.nowMs())) logger.warn(describeFailure(command, error))
    } finally {
      this.#over.signal.removeEventListener('abort', endCall)
      call.abort(OVER)
    }
    if (this.#over.signal.aborted) return
    // A store that does not answer keeps nobody from stopping: what this node has expires.
    const isLeft = this.#standing.life === 'leaving' && this.#standing.works.size === 0
    if (answer.kind === 'failed' && isLeft) this.giveUp()
    else this.#next(answer)
    if (answer.kind === 'renewed') this.#forsake()
  }

  /** What is to be given back, and nothing runs any more that would say that its work has ended. */
  #forsake(): void {
    for (const { unit, isLost } of this.#unable) {
      const held = this.#held.get(unitKey(unit))
      if (!isLost || held?.lease.recalled.aborted !== true) continue
      held.lose()
      this.finished(unit, held.lease.fence)
    }
  }

  async #answered(command: Exchange, signal: AbortSignal): Promise<LeaseInput> {
    const { leases, node, units, leaseMs, clock } = this.#parts
    switch (command.kind) {
      case 'renew': {
        const askedAtMs = clock.nowMs()
        this.#look()
        const unable = this.#unable.map(({ unit }) => unitKey(unit))
        const report = { ...node, units, unable, isLeaving: command.isLeaving }
        const cluster = await leases.renew({ node: report, leaseMs, signal })
        this.#cluster = cluster
        this.#renewedAtMs = askedAtMs
        for (const { unit } of cluster.leases) this.#units.set(unitKey(unit), unit)
        this.#presence.renewed(cluster)
        return { kind: 'renewed', cluster: viewOf(cluster) }
      }
      case 'claim': {
        const claimed = await leases.claim({ node: node.id, claims: this.#withUnits(command.claims), signal })
        this.#see(claimed, node.id)
        return { kind: 'claimed', leases: claimed.map(({ unit, fence }) => ({ unit: unitKey(unit), fence })) }
      }
      case 'release':
        await leases.release({ node: node.id, leases: this.#withUnits(command.leases), signal })
        this.#see(this.#withUnits(command.leases), undefined)
        return { kind: 'released' }
      case 'leave':
        await leases.leave(node.id, signal)
        return { kind: 'left' }
    }
  }

  /** What is told does not wait for the next look. */
  #see(changed: readonly Lease[], owner: string | undefined): void {
    if (this.#cluster === undefined) return
    const fences = new Map(changed.map(({ unit, fence }) => [unitKey(unit), fence]))
    const leases = this.#cluster.leases.map((lease) => {
      const fence = fences.get(unitKey(lease.unit))
      return fence === undefined ? lease : { ...lease, owner, fence }
    })
    this.#cluster = { ...this.#cluster, leases }
  }

  /** What this node cannot work on is left to others from the renewal on that says so. */
  #look(): void {
    const { logger, node, unable } = this.#parts
    const before = new Set(this.#unable.map(({ unit }) => unitKey(unit)))
    this.#unable = unable()
    for (const { unit, why } of this.#unable) {
      if (before.has(unitKey(unit))) continue
      logger.warn(
        `tidemark: node "${node.name}" leaves "${unitName(unit)}" to others for as long as it cannot work on it: ${why}`,
      )
    }
  }

  #withUnits<L extends UnitLease>(leases: readonly L[]): (Omit<L, 'unit'> & Lease)[] {
    return leases.flatMap((lease) => {
      const unit = this.#units.get(lease.unit)
      return unit === undefined ? [] : [{ ...lease, unit }]
    })
  }

  async #sleep(ms: number): Promise<void> {
    this.#wait.abort(OVER)
    const wait = new AbortController()
    this.#wait = wait
    await this.#parts.clock.sleep(ms, wait.signal)
    if (!wait.signal.aborted && !this.#over.signal.aborted) this.#next({ kind: 'due' })
  }

  /** What moves is worth a line; that trust has ended, a warning. */
  #tell(input: LeaseInput, commands: readonly LeaseCommand[]): void {
    const { logger, node, leaseMs } = this.#parts
    const names = (kind: LeaseCommand['kind']): string =>
      commands
        .flatMap((command) =>
          command.kind === kind && 'unit' in command ? [this.#nameOf(command.unit)] : [],
        )
        .join(', ')
    const [granted, finished, revoked] = [names('grant'), names('finish'), names('revoke')]
    if (granted !== '') logger.info(`tidemark: node "${node.name}" is given ${granted}`)
    if (finished !== '' && input.kind === 'renewed') {
      logger.info(`tidemark: node "${node.name}" hands over ${finished}, each after the batch at hand`)
    }
    if (revoked === '') return
    logger.warn(
      input.kind === 'renewed'
        ? `tidemark: node "${node.name}" no longer has ${revoked}: another node has taken over, or it was given back by an operator`
        : `tidemark: node "${node.name}" stops work at ${revoked}: no renewal of its lease of ${leaseMs} ms was answered in time, so ` +
            'another node may have taken over. The store could not be reached, the process was held up, or a handler kept its event loop busy',
    )
  }

  #nameOf(key: string): string {
    const unit = this.#units.get(key)
    return unit === undefined ? key : `"${unitName(unit)}"`
  }
}

interface Held {
  readonly lease: HeldLease
  readonly lose: () => void
  readonly recall: () => void
  /** Whether work goes on under it. */
  isTaken: boolean
}

/** Renewals come each third of a lease: one that fails has to have failed before. */
const CALLS_IN_A_LEASE = 4
const NO_ANSWER = 'no answer within a quarter of the lease'

const viewOf = ({ nodes, leases }: Cluster): ClusterView => ({
  nodes,
  leases: leases.map(({ unit, owner, fence }) => ({ unit: unitKey(unit), owner, fence })),
})

const WHAT: Readonly<Record<Exchange['kind'], string>> = {
  renew: 'the lease of this node cannot be renewed',
  claim: 'units cannot be claimed',
  release: 'units cannot be given back',
  leave: 'this node cannot say that it leaves, and others wait until its lease has expired',
}

const describeFailure = ({ kind }: Exchange, error: unknown): string =>
  `tidemark: ${WHAT[kind]}: ${describeError(error)}; it is tried again`
