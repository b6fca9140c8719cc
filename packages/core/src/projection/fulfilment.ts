import type { Clock } from '../kernel/clock.ts'
import { describeError } from '../kernel/describe-error.ts'
import { messageOf } from '../kernel/errors.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { AuditEntry, Control, ControlledUnit, Fulfilment, PendingRequest } from '../ports/control.ts'
import type { Checkpoint } from '../ports/stored-unit.ts'
import { traced } from '../telemetry/background.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { ResolvedProjection } from './projection.ts'
import { isTransient } from './store-calls.ts'

interface FulfilmentParts<E, Tx> {
  readonly projection: ResolvedProjection<E, Tx>
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'control' | 'isTransient'>
  readonly clock: Clock
  readonly logger: Logger
}

interface Asked {
  readonly request: PendingRequest
  readonly incarnation: string | undefined
}

type Work<Tx> = (tx: Tx, found: ControlledUnit) => Promise<Fulfilment>

/** The longest that is kept of an error. */
const LONGEST_REASON = 2_000

/** Does what operators ask of this node, and tells what came of it. Never rejects: what passes by itself is tried again. */
export class Fulfilments<E, Tx> {
  readonly #parts: FulfilmentParts<E, Tx>
  readonly #log = new FailureLog()

  constructor(parts: FulfilmentParts<E, Tx>) {
    this.#parts = parts
  }

  /** Where the unit stands now; `undefined` where nothing was changed. */
  async fulfil(asked: Asked, signal: AbortSignal): Promise<Checkpoint | undefined> {
    const { checkpoints, clock, logger } = this.#parts
    const { control } = checkpoints
    if (control === undefined) return undefined
    let ofUser: { readonly error: unknown } | undefined
    const work: Work<Tx> = async (tx, found) => {
      try {
        return await this.#work(tx, found, signal)
      } catch (error) {
        ofUser = { error }
        throw error
      }
    }
    try {
      return this.#told(await this.#end(control, asked, work, signal))
    } catch (error) {
      if (signal.aborted) return undefined
      const isOfUser = ofUser !== undefined && Object.is(ofUser.error, error)
      const isToPass = !isOfUser && isTransient(checkpoints, error)
      if (!isToPass && (await this.#refuse(control, asked, error, signal))) return undefined
      if (this.#log.failed(clock.nowMs())) {
        logger.warn(
          `tidemark: ${describeRequest(this.#parts.projection.name, asked.request)} could not be carried out yet: ` +
            `${describeError(error)}; it is tried again by itself`,
        )
      }
      return undefined
    }
  }

  /** Whether that is stored. */
  async #refuse(control: Control<Tx>, asked: Asked, error: unknown, signal: AbortSignal): Promise<boolean> {
    const { projection, logger } = this.#parts
    const reason = messageOf(error).replaceAll('\0', '').slice(0, LONGEST_REASON)
    const refused = `its ${FUNCTION_OF[asked.request.operation]} has failed: ${reason}`
    try {
      const entry = await this.#end(control, asked, async () => ({ refused }), signal)
      this.#told(entry)
      if (entry !== undefined) {
        const request = describeRequest(projection.name, asked.request)
        logger.error(
          `tidemark: ${request} was not carried out, and nothing was changed:\n${describeError(error)}`,
        )
      }
      return true
    } catch {
      return false
    }
  }

  async #end(
    control: Control<Tx>,
    { request, incarnation }: Asked,
    work: Work<Tx>,
    signal: AbortSignal,
  ): Promise<AuditEntry | undefined> {
    const { unit } = this.#parts.projection
    return await control.fulfil({ unit, id: request.id, incarnation, signal }, work)
  }

  /** The projection begins anew: nothing that it has skipped before counts. */
  async #work(tx: Tx, found: ControlledUnit, signal: AbortSignal): Promise<Fulfilment> {
    const { name, reset } = this.#parts.projection
    if (reset === undefined) {
      return {
        refused: `the daemon that has it was given no \`reset\`: give the projection "${name}" that option, deploy, and ask again`,
      }
    }
    await traced(() => reset(tx, { signal }))
    return { to: { ...found, position: undefined, skipped: {} } }
  }

  #told(entry: AuditEntry | undefined): Checkpoint | undefined {
    const { projection, clock, logger } = this.#parts
    if (entry === undefined) return undefined
    this.#log.ended(clock.nowMs())
    const { operation, who, why, after, refused } = entry
    const request = describeRequest(projection.name, { operation, who, why })
    if (refused === undefined) logger.info(`tidemark: ${request} is carried out`)
    return refused === undefined ? after : undefined
  }
}

const FUNCTION_OF: Readonly<Record<PendingRequest['operation'], string>> = { rebuild: 'reset' }

function describeRequest(
  projection: string,
  { operation, who, why }: Pick<AuditEntry, 'operation' | 'who' | 'why'>,
): string {
  return `projection "${projection}": the ${operation} that ${who} has asked for (${why})`
}
