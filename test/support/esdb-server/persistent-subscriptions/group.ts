import { ERRORS } from '../errors.ts'
import { resolve } from '../links.ts'
import type { Log, LogRecord } from '../log.ts'
import { comparePositions, type LogPosition } from '../log-position.ts'
import { insertRetry, lowest, type Message, Outstanding } from './messages.ts'
import { Progress } from './progress.ts'
import type { Settings } from './settings.ts'
import { NOWHERE, type Source, sourceOf } from './source.ts'
import type { Subscriber } from './subscriber.ts'
import { park, readCheckpoint, takeParked, writeCheckpoint } from './system-streams.ts'

export type NackAction = 'unknown' | 'park' | 'retry' | 'skip' | 'stop'

/**
 * PersistentSubscription.cs: hands the events of its source to its subscribers, tries again what is not acknowledged,
 * parks what fails too often, and writes down how far everything is done.
 */
export class Group {
  readonly settings: Settings
  readonly key: string
  readonly source: Source
  readonly outstanding: Outstanding = new Outstanding()
  readonly retries: Message[] = []
  readonly subscribers: Subscriber[] = []
  readonly progress: Progress
  readonly #log: Log
  /** Read from the log, and not yet pushed. */
  readonly #buffer: LogRecord[] = []
  /** Behind this place reading goes on. */
  #read: LogPosition
  lastKnown: LogPosition | undefined
  totalItems = 0

  constructor(log: Log, settings: Settings) {
    this.#log = log
    this.settings = settings
    this.key = `${settings.source}::${settings.group}`
    this.source = sourceOf(log, settings)
    const checkpoint = readCheckpoint(log, this.key)
    const goesOnAt = checkpoint === undefined ? undefined : this.source.parse(checkpoint)
    this.progress = new Progress(settings, goesOnAt)
    this.#read = goesOnAt ?? this.#start(settings)
    this.#fill()
  }

  /** Live: everything is read from the log that is in it. */
  get isLive(): boolean {
    return this.source.next(this.#read) === undefined
  }

  get buffered(): number {
    return this.#buffer.length
  }

  /** To be called for every event that is written. */
  onAppend(record: LogRecord): void {
    if (!this.source.has(record)) return
    if (this.settings.filter?.matches(record) ?? true) this.#sawUpTo(this.source.placeOf(record))
    this.#run()
  }

  add(subscriber: Subscriber): void {
    this.subscribers.push(subscriber)
    this.#run()
  }

  /** What it had not acknowledged goes to the others. */
  remove(subscriber: Subscriber): void {
    const index = this.subscribers.indexOf(subscriber)
    if (index < 0) return
    this.subscribers.splice(index, 1)
    for (const message of subscriber.unsettled) this.#retry(message)
    this.#run()
  }

  /** PersistentSubscriptionClientCollection.ShutdownAll */
  dropAll(): void {
    const { source, group } = this.settings
    for (const subscriber of this.subscribers.splice(0)) {
      subscriber.fail(ERRORS['persistent-subscription-dropped']({ stream: source, group }))
    }
  }

  acknowledge(ids: readonly string[]): void {
    for (const id of ids) this.#settle(id)
    this.#checkpoint(false)
    this.#run()
  }

  /** `stop` does no more than `skip` (PersistentSubscription.StopSubscription is empty). */
  refuse(ids: readonly string[], action: NackAction, reason: string): void {
    for (const id of ids) {
      const message = this.outstanding.get(id)
      if (message === undefined) continue
      if (action === 'park')
        park(this.#log, this.key, message.resolved, `Client explicitly NAK'ed message.\n${reason}`)
      if (action === 'retry' || action === 'unknown') this.#retryOrPark(message)
      this.#settle(id)
    }
    this.#checkpoint(false)
    this.#run()
  }

  replayParked(stopAt: bigint | undefined): void {
    for (const record of takeParked(this.#log, this.key, stopAt)) {
      insertRetry(this.retries, { id: record.id, resolved: resolve(this.#log, record, true), retryCount: 0 })
    }
    this.#run()
  }

  /** Once a second (PersistentSubscriptionService, timer tick). */
  tick(now: number): void {
    for (const message of this.outstanding.takeExpired(now)) {
      for (const subscriber of this.subscribers) subscriber.settle(message.id)
      this.#retryOrPark(message)
    }
    this.#run()
    this.#checkpoint(true)
  }

  /** The place before the first message of a group that has no checkpoint. */
  #start({ source, startFrom }: Settings): LogPosition {
    if (startFrom === 'live') {
      const revision = this.#log.lastRevision(source)
      return source === '$all' ? (this.#log.last ?? NOWHERE) : { commit: revision, prepare: revision }
    }
    const prepare = startFrom.prepare - 1n
    return source === '$all' ? { commit: startFrom.commit, prepare } : { commit: prepare, prepare }
  }

  #run(): void {
    this.#fill()
    this.#push()
    this.#fill()
  }

  #fill(): void {
    const { filter, historyBufferSize } = this.settings
    while (this.#buffer.length + this.retries.length < historyBufferSize) {
      const record = this.source.next(this.#read)
      if (record === undefined) return
      this.#read = this.source.placeOf(record)
      if (filter?.matches(record) ?? true) {
        this.#buffer.push(record)
        this.#sawUpTo(this.#read)
      } else {
        // What the filter leaves out is done with as soon as it is read.
        this.progress.advance(this.#read)
        this.#checkpoint(false)
      }
    }
  }

  #push(): void {
    while (this.retries.length + this.#buffer.length > 0) {
      const subscriber = this.#nextSubscriber()
      if (subscriber === undefined) return
      const message = this.retries.shift() ?? this.#fresh()
      if (message === undefined) return
      this.totalItems++
      const { messageTimeoutMs } = this.settings
      this.outstanding.add(
        message,
        messageTimeoutMs === 0 ? Number.POSITIVE_INFINITY : Date.now() + messageTimeoutMs,
      )
      subscriber.push(message)
    }
  }

  #fresh(): Message | undefined {
    const record = this.#buffer.shift()
    if (record === undefined) return undefined
    const place = this.source.placeOf(record)
    return {
      id: record.id,
      resolved: resolve(this.#log, record, this.settings.resolveLinks),
      place,
      retryCount: 0,
      ...this.progress.advance(place),
    }
  }

  #nextSubscriber(): Subscriber | undefined {
    const index = this.subscribers.findIndex(({ availableSlots }) => availableSlots > 0)
    const subscriber = this.subscribers[index]
    if (subscriber && this.settings.strategy === 'RoundRobin') {
      this.subscribers.push(...this.subscribers.splice(0, index + 1))
    }
    return subscriber
  }

  #settle(id: string): void {
    this.outstanding.delete(id)
    for (const subscriber of this.subscribers) subscriber.settle(id)
  }

  #retryOrPark(message: Message): void {
    const { maxRetryCount } = this.settings
    if (message.retryCount < maxRetryCount) {
      this.#retry(message)
      return
    }
    park(this.#log, this.key, message.resolved, `Reached retry count of ${maxRetryCount}`)
    this.#settle(message.id)
  }

  #retry(message: Message): void {
    this.#settle(message.id)
    insertRetry(this.retries, { ...message, retryCount: message.retryCount + 1 })
  }

  #sawUpTo(place: LogPosition): void {
    if (this.lastKnown === undefined || comparePositions(this.lastKnown, place) < 0) this.lastKnown = place
  }

  #checkpoint(isTick: boolean): void {
    const unfinished = lowest([...this.outstanding.values(), ...this.retries])
    const place = this.progress.checkpoint(unfinished, isTick, Date.now())
    if (place) writeCheckpoint(this.#log, this.key, this.source.format(place))
  }
}
