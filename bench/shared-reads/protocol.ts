/** What the process runs. */
export interface Layout {
  readonly name: string
  readonly projections: number
  /** Whether each projection wants the events of one type, another one than the others; otherwise each wants all events. */
  readonly hasTypeEach: boolean
  /** Of each projection, by a column. */
  readonly shards: number
  /** In one process, over the same table; the projections are dealt out among them. */
  readonly daemons: number
}

/** What the process with the daemon is told. */
export type DaemonOrder =
  | {
      readonly kind: 'start'
      readonly layout: Layout
      /** For polls and pages, and for batches and checkpoints: of a role each. */
      readonly readAt: string
      readonly writeAt: string
      /** No more will come. */
      readonly mostEvents: number
    }
  | { readonly kind: 'look' }
  /** When each event was committed, by its number and the machine's monotonic clock. */
  | { readonly kind: 'delays'; readonly committedAtMs: readonly number[] }
  | { readonly kind: 'stop' }

/** So far. */
export interface DaemonLook {
  /** Each event counts once for each projection. */
  readonly handled: number
  readonly polls: number
  readonly cpuSeconds: number
  /** Before the daemon was made, and now: the resident set of the process, in bytes. */
  readonly residentBefore: number
  readonly resident: number
}

/** From commits to the ends of handlers, of all projections, in ms. */
export interface Delays {
  readonly p50: number
  readonly p99: number
}

/** How often events are handled, in all. */
export function deliveries({ projections, hasTypeEach }: Layout, events: number): number {
  return hasTypeEach ? events : events * projections
}
