import type { ServiceError } from '@grpc/grpc-js'
import { type CallIdentity, fits } from './call-filter.ts'
import { ERRORS, type ErrorContext, type ErrorName } from './errors.ts'
import type { CallFilter } from './steering.ts'

interface Refusal {
  readonly which: CallFilter
  readonly error: ErrorName
  readonly leader: ErrorContext['leader']
  times: number
}

interface HeldCall extends CallIdentity {
  readonly sent: number
}

/** What the server was told to do wrong to calls. */
export class Misbehaviour {
  #refusals: Refusal[] = []
  #delays: { readonly which: CallFilter; readonly delayMs: number }[] = []
  #stalls: { readonly which: CallFilter; readonly after: number }[] = []
  #postponements: CallFilter[] = []
  readonly #held = new Set<() => void>()

  refuse(which: CallFilter, error: ErrorName, times: number, leader: ErrorContext['leader']): void {
    this.#refusals.push({ which, error, leader, times })
  }

  delay(which: CallFilter, delayMs: number): void {
    this.#delays.push({ which, delayMs })
  }

  stall(which: CallFilter, after: number): void {
    this.#stalls.push({ which, after })
  }

  postpone(which: CallFilter): void {
    this.#postponements.push(which)
  }

  resume(): void {
    this.#postponements = []
    this.#stalls = []
    this.#delays = []
    for (const release of this.#held) release()
  }

  /** The error that this call is to be answered with, if it is. */
  refusalOf(call: CallIdentity): ServiceError | undefined {
    const refusal = this.#refusals.find(({ which, times }) => times > 0 && fits(which, call))
    if (refusal === undefined) return undefined
    refusal.times--
    return errorFor(call, refusal.error, refusal.leader)
  }

  /** Resolves when it may be begun; undefined where that is at once. */
  beginning(call: CallIdentity): Promise<void> | undefined {
    return this.#postponements.some((which) => fits(which, call)) ? this.#released() : undefined
  }

  /** Whether `hold` has anything to do. */
  concerns(call: HeldCall): boolean {
    return this.#isStalled(call) || this.#delays.some(({ which }) => fits(which, call))
  }

  /** Resolves when this call may have its next message, at the latest at the next `resume`. */
  async hold(call: HeldCall): Promise<void> {
    for (const { which, delayMs } of this.#delays) {
      if (fits(which, call)) await this.#released(delayMs)
    }
    if (this.#isStalled(call)) await this.#released()
  }

  #released(afterMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = afterMs === undefined ? undefined : setTimeout(() => release(), afterMs)
      const release = (): void => {
        clearTimeout(timer)
        this.#held.delete(release)
        resolve()
      }
      this.#held.add(release)
    })
  }

  #isStalled(call: HeldCall): boolean {
    return this.#stalls.some(({ which, after }) => fits(which, call) && call.sent >= after)
  }
}

export function errorFor(call: CallIdentity, error: ErrorName, leader: ErrorContext['leader']): ServiceError {
  return ERRORS[error]({ stream: call.stream, group: call.group, ...(leader ? { leader } : {}) })
}
