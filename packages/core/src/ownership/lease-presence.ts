import { backOffMs } from '../kernel/back-off.ts'
import type { Clock } from '../kernel/clock.ts'
import { untilAborted } from '../kernel/deferred.ts'
import { describeError } from '../kernel/describe-error.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { Cluster, Leases, NodeReport } from '../ports/leases.ts'
import type { Logger } from '../telemetry/logger.ts'
import { isWatching } from './cluster-view.ts'
import type { SeenBy } from './status.ts'

interface PresenceParts {
  readonly leases: Pick<Leases, 'presence' | 'missing'>
  readonly node: Pick<NodeReport, 'id' | 'name' | 'source'>
  readonly leaseMs: number
  readonly clock: Clock
  readonly logger: Logger
  /** Something may have changed in the store. */
  readonly hint: () => void
}

/** A connection that is culled again and again is not made anew all the time. */
const LEAST_PAUSE_MS = 20

/** Makes this node seen, and looks whether others are gone. Nothing is safe by it, only sooner. */
export class LeasePresence {
  readonly #parts: PresenceParts
  readonly #over: AbortSignal
  readonly #failures = new FailureLog()
  #isKept = false
  #isLooking = false
  #isWatching = false
  #isSeen = false
  #isTold = false

  constructor(parts: PresenceParts, over: AbortSignal) {
    this.#parts = parts
    this.#over = over
  }

  get seenBy(): SeenBy {
    return this.#isSeen ? 'presence' : 'expiry'
  }

  /** There is a row to be seen by. */
  renewed(cluster: Cluster): void {
    const { node } = this.#parts
    this.#isWatching = isWatching(cluster, node.id)
    if (!this.#isKept) {
      this.#isKept = true
      void this.#keep()
    }
    if (this.#isWatching && !this.#isLooking) {
      this.#isLooking = true
      void this.#look()
    }
  }

  async #keep(): Promise<void> {
    const { leases, node, clock, hint } = this.#parts
    for (let failures = 0; !this.#over.aborted; ) {
      try {
        const presence = await leases.presence?.({
          node: node.id,
          source: node.source,
          onHint: hint,
          signal: this.#over,
        })
        this.#isSeen = presence?.isSeen === true
        if (!this.#isSeen) this.#tellUnseen()
        if (presence === undefined) return
        failures = 0
        // Some hints may have been missed.
        hint()
        await untilAborted(presence.ended, this.#over)
      } catch (error) {
        failures++
        this.#tell('it cannot keep a connection that others see it by', error)
      }
      this.#isSeen = false
      await clock.sleep(failures === 0 ? LEAST_PAUSE_MS : backOffMs(failures), this.#over)
    }
  }

  async #look(): Promise<void> {
    const { leases, node, leaseMs, clock, hint } = this.#parts
    let finds = 0
    for (let failures = 0; this.#isWatching && !this.#over.aborted; ) {
      try {
        if (leases.missing === undefined) break
        const isMissing = await leases.missing(node.source, this.#over)
        failures = 0
        finds = isMissing ? finds + 1 : 0
        if (!isMissing) continue
        hint()
        // One that is gone stays gone until its lease has expired, or others have all that it had.
        await clock.sleep(Math.min(AFTER_FIND_MS * 2 ** (finds - 1), leaseMs / 3), this.#over)
      } catch (error) {
        failures++
        this.#tell('it cannot look whether others are gone', error)
        await clock.sleep(backOffMs(failures), this.#over)
      }
    }
    this.#isLooking = false
  }

  #tellUnseen(): void {
    if (this.#isTold) return
    this.#isTold = true
    const { node, leaseMs, logger } = this.#parts
    logger.info(
      `tidemark: other nodes cannot see whether node "${node.name}" is there, as through a pooler in transaction mode: should it die, ` +
        `they take over when its lease of ${leaseMs} ms has expired`,
    )
  }

  #tell(what: string, error: unknown): void {
    const { node, leaseMs, logger, clock } = this.#parts
    if (this.#over.aborted || !this.#failures.failed(clock.nowMs())) return
    logger.warn(
      `tidemark: node "${node.name}": ${what}: ${describeError(error)}; it is tried again, and until then a node that dies is noticed ` +
        `when its lease of ${leaseMs} ms has expired`,
    )
  }
}

const AFTER_FIND_MS = 500
