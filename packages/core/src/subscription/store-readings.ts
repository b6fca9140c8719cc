import { hasCode } from '../kernel/errors.ts'
import type { ConsumerGroup } from '../ports/subscription-source.ts'
import { PeriodicReader } from '../telemetry/periodic-reader.ts'
import {
  type HeadFound,
  type HeadHistory,
  observe,
  phaseOf,
  resumeHeadHistory,
  startHeadHistory,
} from './head-history.ts'
import type { LifecycleKeeper } from './lifecycle-keeper.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import { isHeadOurs, type Standing } from './standing.ts'

interface StoreReadingsParts<P> {
  readonly options: Pick<ResolvedMonitorOptions<P, never>, 'clock' | 'logger' | 'headIntervalMs'> & {
    readonly source: Pick<ResolvedMonitorOptions<P, never>['source'], 'name' | 'readHead' | 'readGroup'>
  }
  readonly life: LifecycleKeeper
  readonly standing: () => Standing<P>
  readonly quietly: (work: () => void) => void
}

/**
 * Reads now and then what the store knows of the subscription: its head, and the group of a persistent one. Where the
 * subscription's own server does not say whether all older events were delivered, these tell it.
 */
export class StoreReadings<P> {
  readonly #parts: StoreReadingsParts<P>
  readonly #headReader: PeriodicReader<HeadFound<P>>
  readonly #groupReader: PeriodicReader<ConsumerGroup<P> | undefined>
  #head: HeadHistory<P> = startHeadHistory()
  #group: ConsumerGroup<P> | undefined

  constructor(parts: StoreReadingsParts<P>) {
    this.#parts = parts
    const { source, clock, logger, headIntervalMs: intervalMs } = parts.options
    this.#headReader = new PeriodicReader({
      clock,
      logger,
      intervalMs,
      read: (signal) =>
        source.readHead(signal).then(
          (head) => ({ head }),
          (error: unknown) => {
            if (hasCode(error, 'TIDEMARK_HEAD_UNKNOWN')) return 'nothing left'
            throw error
          },
        ),
      onRead: (found) => parts.quietly(() => this.#seeHead(found)),
      warning: `the head of ${source.name} cannot be read, so lag and stalls are not known`,
    })
    this.#groupReader = new PeriodicReader({
      clock,
      logger,
      intervalMs,
      read: async (signal) => await source.readGroup?.(signal),
      onRead: (group) => parts.quietly(() => this.#seeGroup(group)),
      warning: `the consumer group of ${source.name} cannot be read, so its position and what is parked are not known`,
    })
  }

  get head(): HeadHistory<P> {
    return this.#head
  }

  get group(): ConsumerGroup<P> | undefined {
    return this.#group
  }

  /** Another subscription begins. */
  resume(): void {
    this.#head = resumeHeadHistory(this.#head)
  }

  readWhenDue(): void {
    const { life, standing } = this.#parts
    const now = standing()
    if (isHeadOurs(now)) this.#headReader.readWhenDue(life.over)
    if (now.isPersistent) this.#groupReader.readWhenDue(life.over)
  }

  #seeHead(found: HeadFound<P>): void {
    const { life, standing } = this.#parts
    const now = standing()
    this.#head = observe(this.#head, found, now)
    const phase = phaseOf(this.#head)
    if (phase !== undefined && isHeadOurs(now)) life.headSays(phase)
  }

  #seeGroup(group: ConsumerGroup<P> | undefined): void {
    this.#group = group
    if (group) this.#parts.life.groupSays(group.isLive)
  }
}
