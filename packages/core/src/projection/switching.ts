import { formatEvidence } from '../high-water/poll-calls.ts'
import type { PollingAgent } from '../high-water/polling-agent.ts'
import type { Clock } from '../kernel/clock.ts'
import type { CheckpointStore, CrossedRun } from '../ports/checkpoint-store.ts'
import type { ControlledUnit, Fulfilment, OperatorControl } from '../ports/control.ts'
import type { EventSource } from '../ports/event-source.ts'
import { furthestAfter } from '../ports/furthest.ts'
import { addCrossed } from '../ports/skip-totals.ts'
import { unitKey } from '../ports/unit.ts'
import { PageReader, type ReadPage } from '../reading/own-pages.ts'
import { planSwitch, type SwitchPlan } from '../rebuild/plan.ts'
import type { ResolvedProjection } from './projection.ts'

export interface SwitchParts<P, E, Tx> {
  readonly projection: ResolvedProjection<E, Tx>
  readonly source: EventSource<P, E>
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters'>
  readonly agent: PollingAgent<P>
  readonly clock: Clock
}

/** The user's code, whose failures are told by its name. */
export interface UserCalls<P, E, Tx> {
  /** What is passed without being handled: it follows a dead letter of its key. */
  handle(page: ReadPage<P, E>, tx: Tx): Promise<readonly CrossedRun[]>
  call(name: string, call: () => Promise<void> | void): Promise<void>
}

interface Found {
  readonly own: ControlledUnit
  readonly live: ControlledUnit | undefined
  readonly mayHandle: boolean
}

/** For how long one that is ahead stands still at a time, so that the live version comes up. */
const HOLD_MS = 3_000
const LOOK_EVERY_MS = 25

/** Makes a version of a projection the live one, at one position. */
export class Switches<P, E, Tx> {
  readonly #parts: SwitchParts<P, E, Tx>

  constructor(parts: SwitchParts<P, E, Tx>) {
    this.#parts = parts
  }

  /**
   * Whether it is worth to lock both rows, which holds the live version up: one batch at most is left, or less. It stands still
   * meanwhile, since nothing is at hand.
   *
   * @param mayHandle - not where an event among those that are left may end the process: that is found batch by batch
   */
  async isNear(
    control: Pick<OperatorControl, 'units'>,
    mayHandle: boolean,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { projection, clock } = this.#parts
    const { unit } = projection
    const untilMs = clock.nowMs() + HOLD_MS
    for (;;) {
      const units = await control.units({ projection: unit.projection }, signal)
      const own = units.find((each) => unitKey(each.unit) === unitKey(unit))
      if (own === undefined) return false
      const live = units.find(({ role }) => role === 'live')
      const plan = this.#plan(own, live)
      if (plan.kind === 'come_up') {
        return mayHandle && (await this.#pageUpTo(own, plan.to, signal)) !== undefined
      }
      if (plan.kind !== 'wait') return true
      if (clock.nowMs() >= untilMs) return false
      await clock.sleep(LOOK_EVERY_MS, signal)
      signal.throwIfAborted()
    }
  }

  /** With both rows locked. `undefined`: not yet, and nothing is changed. */
  async switch(
    tx: Tx,
    { own, live, mayHandle }: Found,
    user: UserCalls<P, E, Tx>,
    signal: AbortSignal,
  ): Promise<{ readonly fulfilment: Fulfilment; readonly handled: ReadPage<P, E> | undefined } | undefined> {
    const { projection, checkpoints } = this.#parts
    const plan = this.#plan(own, live)
    if (plan.kind === 'wait') return undefined
    if (plan.kind === 'refuse') return { fulfilment: { refused: plan.why }, handled: undefined }
    if (plan.kind === 'done') return { fulfilment: { to: own }, handled: undefined }
    const isBehind = plan.kind === 'come_up'
    const handled = isBehind && mayHandle ? await this.#pageUpTo(own, plan.to, signal) : undefined
    if (isBehind && handled === undefined) return undefined
    const { onSwitch, unit, effects } = projection
    // The live version has handled them.
    const isSilent = effects === 'live_only'
    const isEmpty = handled === undefined || handled.events.length === 0
    const passed = isEmpty || isSilent ? [] : await user.handle(handled, tx)
    if (isSilent && live !== undefined) await checkpoints.deadLetters?.handOver(tx, live.unit, unit)
    if (onSwitch !== undefined) {
      const context = { from: live?.unit.version, to: unit.version, signal }
      await user.call('onSwitch', () => onSwitch(tx, context))
    }
    const { order, passesUnproven } = this.#parts.source
    const { format } = order
    const skipped = addCrossed(own.skipped, passed)
    const furthest = furthestAfter(order, own, live)
    const to = { ...own, role: 'live', skipped, furthest } as const
    if (handled === undefined) return { fulfilment: { to }, handled }
    const evidence = formatEvidence(format, handled.evidence)
    const positions = passesUnproven === true && !isSilent ? { positions: handled.positions.map(format) } : {}
    return {
      fulfilment: { to: { ...to, position: format(handled.through) }, evidence, ...positions },
      handled,
    }
  }

  #plan(own: ControlledUnit, live: ControlledUnit | undefined): SwitchPlan<P> {
    return planSwitch(this.#parts.source.order, own, live)
  }

  /** Everything up to there, in one page; `undefined` where that is more than a batch. */
  async #pageUpTo(own: ControlledUnit, to: P, signal: AbortSignal): Promise<ReadPage<P, E> | undefined> {
    const { projection, source, agent } = this.#parts
    // What another process has handled was proven there; here too, before it is read.
    await agent.waitFor(to, { signal })
    const { reading } = agent
    if (reading === undefined) return undefined
    const { position } = own
    const after = position === undefined ? undefined : source.order.parse(position)
    const pages = new PageReader(source, projection, signal)
    const page = await pages.next({ after, reading: { ...reading, mark: to }, limit: projection.batchSize })
    return page.reachesMark ? page : undefined
  }
}
