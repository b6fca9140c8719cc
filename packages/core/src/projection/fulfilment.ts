import type { Burial } from '../failures/letter.ts'
import { describeError, keptMessage } from '../kernel/describe-error.ts'
import { hasCode } from '../kernel/errors.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type {
  AuditEntry,
  Control,
  ControlledUnit,
  Fulfilment,
  FulfilRequest,
  OperatedState,
  PendingRequest,
} from '../ports/control.ts'
import { furthestAsLive } from '../ports/furthest.ts'
import { isWhole, unitName } from '../ports/unit.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import type { SkipOrder } from './commands.ts'
import { isTransient } from './passing.ts'
import { skipEvents, tellSkip } from './skipping.ts'
import { Switches, type SwitchParts } from './switching.ts'
import { UserCode, type UserCodeParts } from './user-code.ts'

interface FulfilmentParts<P, E, Tx> extends SwitchParts<P, E, Tx>, UserCodeParts<P, E, Tx> {
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'control' | 'isTransient' | 'deadLetters'>
  readonly logger: Logger
  readonly session: TelemetrySession<P, E>
}

interface Asked<P> {
  readonly request: PendingRequest
  readonly incarnation: string | undefined
  readonly skip: SkipOrder<P> | undefined
}

/** A request has ended: where the unit stands now, and what was skipped. */
interface Done {
  /** `undefined`: it was refused, and nothing was changed. */
  readonly unit: OperatedState | undefined
  readonly buried: Burial | undefined
}

const REFUSED: Done = { unit: undefined, buried: undefined }

/** All shards of it, and who has asked for that. */
interface ToBeReset {
  readonly found: ControlledUnit
  readonly others: readonly ControlledUnit[]
  readonly request: PendingRequest
}

type Work<Tx> = Parameters<Control<Tx>['fulfil']>[1]

/** How long the batch at hand may take of a live version that is to be live no longer, or of another shard; then it is tried again at the next look. */
const OTHERS_WITHIN_MS = 2_000

/** Does what operators ask of this node, and tells what came of it. Never rejects: what passes by itself is tried again. */
export class Fulfilments<P, E, Tx> {
  readonly #parts: FulfilmentParts<P, E, Tx>
  readonly #switches: Switches<P, E, Tx>
  readonly #log = new FailureLog()

  constructor(parts: FulfilmentParts<P, E, Tx>) {
    this.#parts = parts
    this.#switches = new Switches(parts)
  }

  /**
   * `undefined` where the request has not ended.
   *
   * @param begun - `undefined` where no events may be handled with it
   */
  async fulfil(
    asked: Asked<P>,
    begun: Pick<FulfilRequest, 'session'> | undefined,
    signal: AbortSignal,
  ): Promise<Done | undefined> {
    const { checkpoints, clock, logger } = this.#parts
    const { control } = checkpoints
    if (control === undefined) return undefined
    const user = new UserCode(this.#parts)
    const within = AbortSignal.any([signal, user.tooLong])
    let handled: ReadPage<P, E> | undefined
    const work: Work<Tx> = async (tx, found, live, others) => {
      if (asked.request.operation === 'rebuild')
        return await this.#reset(tx, { found, others, request: asked.request }, user, within)
      if (asked.request.operation === 'skip')
        return await skipEvents(this.#parts, { tx, found, skip: asked.skip })
      const both = { own: found, live, mayHandle: begun !== undefined }
      const switched = await this.#switches.switch(tx, both, user, within)
      handled = switched?.handled
      return switched?.fulfilment
    }
    try {
      const isSwitch = asked.request.operation === 'switch'
      if (isSwitch && !(await this.#switches.isNear(control, begun !== undefined, signal))) return undefined
      const session = isSwitch ? begun : {}
      const entry = await this.#end(control, { ...asked, ...session }, work, within)
      if (entry === undefined) return undefined
      const after = this.#told(entry)
      if (after === undefined) return REFUSED
      if (handled !== undefined) this.#count(handled)
      return { unit: after, buried: tellSkip(this.#parts, asked.skip, after) }
    } catch (thrown) {
      if (signal.aborted) return undefined
      const { name, error } = user.failureOf(thrown)
      const isToPass = name === undefined && this.#passes(error)
      if (!isToPass) {
        const refused = await this.#refuse(control, asked, { error, name }, signal)
        if (refused !== undefined) return refused
      }
      if (this.#log.failed(clock.nowMs())) {
        logger.warn(
          `tidemark: ${describeRequest(this.#parts.projection.name, asked.request)} could not be carried out yet: ` +
            `${describeError(error)}; it is tried again by itself`,
        )
      }
      return undefined
    }
  }

  /** `undefined` where that is not stored. */
  async #refuse(
    control: Control<Tx>,
    asked: Asked<P>,
    { error, name }: { readonly error: unknown; readonly name: string | undefined },
    signal: AbortSignal,
  ): Promise<Done | undefined> {
    const { projection, logger } = this.#parts
    const isLetter = hasCode(error, 'TIDEMARK_DEAD_LETTER_NOT_WRITTEN')
    const reason = keptMessage(isLetter ? error.cause : error)
    const what = isLetter
      ? 'a dead letter could not be written'
      : `its ${name ?? WORK_OF[asked.request.operation]} has failed`
    const refused = `${what}: ${reason}`
    try {
      const entry = await this.#end(control, asked, async () => ({ refused }), signal)
      if (entry === undefined) return undefined
      this.#told(entry)
      const request = describeRequest(projection.name, asked.request)
      logger.error(
        `tidemark: ${request} was not carried out, and nothing was changed:\n${describeError(error)}`,
      )
      return REFUSED
    } catch {
      return undefined
    }
  }

  async #end(
    control: Control<Tx>,
    { request, incarnation, session }: Omit<Asked<P>, 'skip'> & Pick<FulfilRequest, 'session'>,
    work: Work<Tx>,
    signal: AbortSignal,
  ): Promise<AuditEntry | undefined> {
    const { unit } = this.#parts.projection
    const live = request.operation === 'switch' ? { liveWithinMs: OTHERS_WITHIN_MS } : {}
    const shards =
      request.operation === 'rebuild' && !isWhole(unit.slots) ? { shardsWithinMs: OTHERS_WITHIN_MS } : {}
    const own = session === undefined ? {} : { session }
    return await control.fulfil(
      { unit, id: request.id, incarnation, ...live, ...shards, ...own, signal },
      work,
    )
  }

  /** The projection begins anew: nothing that it has skipped before counts. */
  async #reset(
    tx: Tx,
    { found, others, request }: ToBeReset,
    user: UserCode<P, E, Tx>,
    signal: AbortSignal,
  ): Promise<Fulfilment> {
    const { projection, source } = this.#parts
    const { name, reset, effects } = projection
    if (reset === undefined) {
      return {
        refused: `the daemon that has it was given no \`reset\`: give the projection "${name}" that option, deploy, and ask again`,
      }
    }
    for (const { unit, asked } of others) {
      if (asked === undefined) continue
      return {
        refused: `a ${asked.operation} of ${unitName(unit)} is pending; wait until it is done, or cancel it`,
      }
    }
    await user.call('reset', () => reset(tx, { signal }))
    const closing = {
      as: 'replayed',
      who: request.who,
      why: `the projection was rebuilt: ${request.why}`,
    } as const
    // What is for readers once is not handled again.
    const closes = effects === 'live_only' ? {} : { closes: { isMeant: () => true, closing } }
    const anew = (unit: ControlledUnit) => ({
      to: { ...unit, position: undefined, skipped: {}, furthest: furthestAsLive(source.order, unit) },
      ...closes,
    })
    return { ...anew(found), others: others.map((other) => ({ found: other, ...anew(other) })) }
  }

  /** What passes by itself: also a store that was restarted between the page and the transaction. */
  #passes(thrown: unknown): boolean {
    const { checkpoints, source } = this.#parts
    const error = hasCode(thrown, 'TIDEMARK_DEAD_LETTER_NOT_WRITTEN') ? thrown.cause : thrown
    return (
      isTransient(checkpoints, error) ||
      isTransient(source, error) ||
      hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')
    )
  }

  #count({ events, through }: ReadPage<P, E>): void {
    const { projection, source, session } = this.#parts
    session.telemetry.batchProcessed({
      projection: projection.series,
      events: events.length,
      durationMs: 0,
      through: source.order.format(through),
      delayMs: undefined,
    })
  }

  /** Where the unit stands now; `undefined` where it was refused. */
  #told(entry: AuditEntry): OperatedState | undefined {
    const { projection, clock, logger } = this.#parts
    this.#log.ended(clock.nowMs())
    const { operation, who, why, after, refused } = entry
    const request = describeRequest(projection.name, { operation, who, why })
    if (refused !== undefined) {
      logger.info(`tidemark: ${request} is refused: ${refused}`)
      return undefined
    }
    logger.info(`tidemark: ${request} is carried out`)
    return after
  }
}

const WORK_OF: Readonly<Record<PendingRequest['operation'], string>> = {
  rebuild: 'reset',
  switch: 'onSwitch',
  skip: 'skip',
}

function describeRequest(
  projection: string,
  { operation, who, why }: Pick<AuditEntry, 'operation' | 'who' | 'why'>,
): string {
  return `projection "${projection}": the ${operation} that ${who} has asked for (${why})`
}
