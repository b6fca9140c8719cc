import { messageOf } from '../kernel/errors.ts'
import { describeDrop, isAbort, reasonOf } from './drop.ts'
import * as lifecycle from './lifecycle.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import type { SubscriptionReports } from './reports.ts'
import type { FailureRow } from './resubscription.ts'
import { SILENT_END } from './status.ts'

type Phase = 'caught_up' | 'fell_behind'

interface LifecycleKeeperParts extends Pick<ResolvedMonitorOptions<never, never>, 'projection' | 'logger'> {
  readonly source: { dropReason(error: unknown): string }
  readonly reports: Pick<SubscriptionReports<never, never>, 'quietly' | 'entered' | 'dropped'>
  /** Where other subscriptions follow one that was dropped. */
  readonly failures: FailureRow | undefined
  readonly onOver: () => void
}

/** Moves the lifecycle by what happens to the subscription, and tells what comes of it. */
export class LifecycleKeeper {
  readonly #parts: LifecycleKeeperParts
  readonly #over = new AbortController()
  #round = new AbortController()
  #now: lifecycle.Lifecycle = lifecycle.STARTED

  constructor(parts: LifecycleKeeperParts) {
    this.#parts = parts
  }

  get now(): lifecycle.Lifecycle {
    return this.#now
  }

  /** Fires when no other subscription is to follow. */
  get over(): AbortSignal {
    return this.#over.signal
  }

  /** Of the present subscription: fires when it has been dropped, or all is over. */
  get round(): AbortSignal {
    return this.#round.signal
  }

  /** Another subscription is being made. */
  another(): void {
    this.#round = new AbortController()
    this.#take(lifecycle.another(this.#now))
  }

  confirmed(): void {
    this.#take(lifecycle.confirmed(this.#now))
  }

  eventCame(): void {
    if (this.#now.isFailing) this.#take(lifecycle.eventCame(this.#now))
  }

  serverSays(phase: Phase): void {
    this.#take(lifecycle.serverSaid(this.#now, phase))
  }

  headSays(phase: Phase): void {
    this.#take(lifecycle.headSaid(this.#now, phase))
  }

  groupSays(isLive: boolean): void {
    this.#take(lifecycle.groupSaid(this.#now, isLive))
  }

  dropped(error: unknown): void {
    if (isAbort(error)) this.left()
    else this.#drop(error, () => reasonOf(error, this.#parts.source))
  }

  /** It came to its end without an error. */
  endedSilently(): void {
    this.#drop(undefined, () => SILENT_END)
  }

  left(): void {
    this.#take(lifecycle.left(this.#now))
  }

  end(by: 'end' | 'give_up'): void {
    this.#take(lifecycle.ended(this.#now, by))
  }

  unsubscribeFailed(error: unknown): void {
    // Of a call that never came about there is nothing to end: the clients reject with what that failed with.
    if (error === this.#now.drop?.error) return
    const { logger, projection } = this.#parts
    logger.warn(
      `tidemark: projection "${projection}": unsubscribe() failed, its call to the server may stay open: ${messageOf(error)}`,
    )
  }

  #drop(error: unknown, reasonOfIt: () => string): void {
    if (this.#now.stage !== 'open') return
    const { reports, failures } = this.#parts
    const reason = reports.quietly(reasonOfIt) ?? 'unknown'
    const isFollowed = reports.quietly(() => failures?.follows(error)) ?? false
    this.#take(lifecycle.dropped(this.#now, { reason, error }, isFollowed))
  }

  #take({ lifecycle: now, news }: lifecycle.Step): void {
    this.#now = now
    if (now.stage !== 'open') this.#round.abort()
    if (now.stage === 'over') this.#over.abort()
    for (const each of news) this.#tell(each)
  }

  #tell(news: lifecycle.News): void {
    const { projection, logger, reports, failures, onOver } = this.#parts
    switch (news.kind) {
      case 'entered':
        reports.entered(news.state)
        break
      case 'dropped':
        reports.dropped(news.reason, news.error)
        break
      case 'failed':
        failures?.failed(news.reason, news.error)
        break
      case 'recovered':
        failures?.recovered()
        break
      case 'lost':
        logger.error(describeDrop(projection, news.reason, news.error))
        break
      case 'over':
        onOver()
    }
  }
}
