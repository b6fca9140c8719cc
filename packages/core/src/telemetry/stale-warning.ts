import type { HighWaterStatus } from '../high-water/status.ts'
import { messageOf } from '../kernel/errors.ts'
import type { Holder, PolledSource } from '../ports/event-source.ts'
import type { Logger } from './logger.ts'

type Source<P> = Pick<PolledSource<P>, 'name' | 'order' | 'lookCloser' | 'passesUnproven'>

/** One warning when the mark goes stale and one when it is no longer stale; never one for each poll. */
export class StaleWarning<P> {
  readonly #source: Source<P>
  readonly #logger: Logger
  #warnedAtMs: number | undefined

  constructor(source: Source<P>, logger: Logger) {
    this.#source = source
    this.#logger = logger
  }

  look(status: HighWaterStatus<P>, nowMs: number): void {
    if (status.stale && this.#warnedAtMs === undefined) {
      this.#warnedAtMs = nowMs
      this.#logger.warn(this.#describe(status, nowMs))
    } else if (!status.stale && this.#warnedAtMs !== undefined) {
      const seconds = ((nowMs - this.#warnedAtMs) / 1_000).toFixed(1)
      this.#warnedAtMs = undefined
      this.#logger.warn(
        `tidemark: the high-water mark of ${this.#source.name} is no longer stale, ${seconds} s after it was called so`,
      )
    }
  }

  #describe(status: HighWaterStatus<P>, nowMs: number): string {
    const { head, settled, gaps, holders, unanswered, error } = status
    const source = this.#source
    const position = (value: P | undefined): string =>
      value === undefined ? 'none' : source.order.format(value)
    const where = `tidemark: the high-water mark of ${source.name} is stale: settled ${position(settled)}, head ${position(head)}`
    if (error !== undefined) return `${where}; polls fail: ${messageOf(error)}`
    if (unanswered) return `${where}; ${describeHang(unanswered)}`
    const oldest = gaps[0]
    const open = oldest
      ? `; position ${position(oldest.from)} has been open for ${(oldest.openForMs / 1_000).toFixed(1)} s`
      : ''
    if (holders.length === 0 && source.passesUnproven === true) {
      return `${where}${open}; in this mode nobody looks who holds it before it is skipped`
    }
    if (holders.length === 0) return `${where}${open}; nobody is seen to hold it`
    const held = holders.map((holder) => describeHolder(holder, nowMs)).join(', ')
    const closer = source.lookCloser ? `; look closer: ${source.lookCloser(holders)}` : ''
    return `${where}${open}; held by ${held}${closer}`
  }
}

function describeHang({ forMs, waitsFor }: NonNullable<HighWaterStatus<unknown>['unanswered']>): string {
  const seconds = `${(forMs / 1_000).toFixed(1)} s`
  if (waitsFor === 'connection') {
    return `a poll has waited ${seconds} for a connection: the pool has none to give, or the server takes none`
  }
  return `a poll has had no answer for ${seconds}: the store, or the way to it, hangs`
}

function describeHolder({ pid, applicationName, startedAt, transaction }: Holder, nowMs: number): string {
  const who = pid === undefined ? `prepared transaction ${transaction}` : `pid ${pid}`
  const application = applicationName === undefined ? '' : ` (${applicationName})`
  const age =
    startedAt === undefined ? '' : `, open for ${((nowMs - startedAt.getTime()) / 1_000).toFixed(1)} s`
  return who + application + age
}
