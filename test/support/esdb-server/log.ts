import { randomUUID } from 'node:crypto'
import { comparePositions, type LogPosition } from './log-position.ts'

export interface NewEvent {
  readonly id: string
  readonly type: string
  readonly isJson: boolean
  readonly data: Uint8Array
  readonly metadata: Uint8Array
}

export interface LogRecord extends NewEvent, LogPosition {
  readonly stream: string
  readonly revision: bigint
  readonly createdMs: number
  /** Where the record ends, and where the one that commits it ends: the same, but in an explicit transaction. */
  readonly end: LogPosition
  /** Gone from the disk: no read finds it. */
  scavenged: boolean
}

export interface Stream {
  readonly name: string
  /** Oldest first. */
  readonly records: LogRecord[]
  readonly revisions: Map<string, bigint>
  nextRevision: bigint
  tombstoned: boolean
}

export interface AppendOptions {
  /**
   * The events are written as one explicit transaction, as the TCP clients of EventStoreDB did: they share a commit
   * position, which lies behind all of their prepare positions.
   */
  readonly transaction?: boolean
  readonly createdMs?: number
}

/** EventNumber.DeletedStream: the revision of a tombstone, and `$tb` of a deleted stream. */
export const DELETED: bigint = 2n ** 63n - 1n

// What a record takes on disk besides its strings and payloads, roughly (PrepareLogRecord.cs).
const RECORD_OVERHEAD = 108n

/** The database: one log, in memory. `$all` is its records in order, a stream those of one name. */
export class Log {
  readonly records: LogRecord[] = []
  readonly #streams = new Map<string, Stream>()
  readonly #listeners = new Set<(record: LogRecord) => void>()
  /** Written, and not yet told of. */
  readonly #untold: LogRecord[] = []
  #isTelling = false
  #end: bigint

  /** @param base - where the log begins; an epoch record, which no read shows, takes the first bytes. */
  constructor(base: bigint = 0n) {
    this.#end = base + RECORD_OVERHEAD
  }

  /** The offset at which the next record is written. */
  get end(): bigint {
    return this.#end
  }

  get last(): LogRecord | undefined {
    return this.records.at(-1)
  }

  stream(name: string): Stream | undefined {
    return this.#streams.get(name)
  }

  /** The revision of the last event that was ever written there; -1 when none was. */
  lastRevision(name: string): bigint {
    return (this.#streams.get(name)?.nextRevision ?? 0n) - 1n
  }

  /** Writes without checks. */
  append(name: string, events: readonly NewEvent[], options: AppendOptions = {}): LogRecord[] {
    const stream = this.#streamFor(name)
    const ranges = events.map((event) => this.#advance(sizeOf(name, event)))
    const commit = options.transaction ? this.#advance(RECORD_OVERHEAD) : undefined
    const written = events.map((event, i): LogRecord => {
      const own = ranges[i] ?? { start: 0n, end: 0n }
      return {
        ...event,
        stream: name,
        revision: stream.nextRevision++,
        commit: commit?.start ?? own.start,
        prepare: own.start,
        end: { commit: commit?.end ?? own.end, prepare: own.end },
        createdMs: options.createdMs ?? Date.now(),
        scavenged: false,
      }
    })
    for (const record of written) this.#add(stream, record)
    this.#tell()
    return written
  }

  /** Writes the event after which the stream takes no other (LogRecord.DeleteTombstone). */
  tombstone(name: string): LogRecord {
    const stream = this.#streamFor(name)
    const event = systemEvent('$streamDeleted', '')
    const { start, end } = this.#advance(sizeOf(name, event))
    const record: LogRecord = {
      ...event,
      stream: name,
      revision: DELETED,
      commit: start,
      prepare: start,
      end: { commit: end, prepare: end },
      createdMs: Date.now(),
      scavenged: false,
    }
    stream.tombstoned = true
    this.#add(stream, record)
    this.#tell()
    return record
  }

  /** Leaves `bytes` of the log to records that no read shows. */
  skipBytes(bytes: bigint): void {
    this.#advance(bytes)
  }

  /** The stream's next event gets a revision that is greater by `count`. */
  skipRevisions(name: string, count: bigint): void {
    this.#streamFor(name).nextRevision += count
  }

  /** Tells of every record from now on, until the signal aborts. */
  follow(listener: (record: LogRecord) => void, until: AbortSignal): void {
    if (until.aborted) return
    this.#listeners.add(listener)
    until.addEventListener('abort', () => this.#listeners.delete(listener), { once: true })
  }

  /** The index in `records` of the first one at or after `position`. */
  indexOf(position: LogPosition): number {
    let low = 0
    let high = this.records.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const record = this.records[middle]
      if (record && comparePositions(record, position) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #streamFor(name: string): Stream {
    const known = this.#streams.get(name)
    if (known) return known
    const stream = { name, records: [], revisions: new Map(), nextRevision: 0n, tombstoned: false }
    this.#streams.set(name, stream)
    return stream
  }

  #add(stream: Stream, record: LogRecord): void {
    stream.records.push(record)
    stream.revisions.set(record.id, record.revision)
    this.records.push(record)
    this.#untold.push(record)
  }

  /** In the order of the log, also where a listener writes: a group its checkpoint. */
  #tell(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    for (let record = this.#untold.shift(); record; record = this.#untold.shift()) {
      for (const listener of this.#listeners) listener(record)
    }
    this.#isTelling = false
  }

  #advance(bytes: bigint): { readonly start: bigint; readonly end: bigint } {
    const start = this.#end
    this.#end += bytes
    return { start, end: this.#end }
  }
}

function sizeOf(stream: string, event: NewEvent): bigint {
  return (
    RECORD_OVERHEAD + BigInt(stream.length + event.type.length + event.data.length + event.metadata.length)
  )
}

/** An event as the server itself writes them: JSON, or text. */
export function systemEvent(type: string, data: object | string): NewEvent {
  const isJson = typeof data !== 'string'
  const text = isJson ? JSON.stringify(data) : data
  return { id: randomUUID(), type, isJson, data: Buffer.from(text), metadata: new Uint8Array() }
}
