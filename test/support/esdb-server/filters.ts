import type { LogRecord } from './log.ts'

/** The four kinds of filter in the protocol, of reads and of persistent subscriptions alike. */
export interface FilterOptions {
  hasEventType(): boolean
  getEventType(): Expression | undefined
  getStreamIdentifier(): Expression | undefined
  hasMax(): boolean
  getMax(): number
  getCheckpointintervalmultiplier(): number
}

interface Expression {
  getRegex(): string
  getPrefixList(): string[]
}

export interface Filter {
  matches(record: LogRecord): boolean
  /** How many records are looked at for one page. */
  readonly window: number
  /** After how many a client hears how far the server has come. */
  readonly checkpointInterval: number
}

// Enumerator.DefaultReadBatchSize, also the window where the client names none.
export const PAGE_SIZE: number = 32

/** Streams.Read.cs (ConvertToEventFilter, ConvertToWindow): a regex that is not empty wins over prefixes. */
export function filterOf(options: FilterOptions | undefined): Filter | undefined {
  if (options === undefined) return undefined
  const ofType = options.hasEventType()
  const expression = ofType ? options.getEventType() : options.getStreamIdentifier()
  const pattern = expression?.getRegex() ?? ''
  const regex = pattern === '' ? undefined : new RegExp(pattern)
  const prefixes = expression?.getPrefixList() ?? []
  const window = options.hasMax() ? options.getMax() : PAGE_SIZE
  return {
    matches: (record) => {
      const subject = ofType ? record.type : record.stream
      return (
        isShown(record) && (regex?.test(subject) ?? prefixes.some((prefix) => subject.startsWith(prefix)))
      )
    },
    window,
    checkpointInterval: window * options.getCheckpointintervalmultiplier(),
  }
}

/** EventFilter.DefaultAllFilterStrategy: what a persistent subscription to `$all` writes would feed it, and is hidden. */
export function isShown({ stream, scavenged }: LogRecord): boolean {
  if (scavenged) return false
  return !(stream.startsWith('$persistentsubscription-$all::') && /-(checkpoint|parked)$/.test(stream))
}
