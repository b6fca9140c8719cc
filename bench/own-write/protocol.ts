/** How the process of the API waits until its own write is handled. */
export type WaitMethod = 'waitFor' | 'waitUntilProjected' | 'no wait'

/** What the process of the API is told. */
export type ApiOrder =
  | {
      readonly kind: 'start'
      readonly method: WaitMethod
      /** Whether it has a daemon, which stands by. */
      readonly standsBy: boolean
      readonly appendAt: string
      /** Of the role that waits. */
      readonly waitAt: string
    }
  | ({ readonly kind: 'write' } & Load)
  | { readonly kind: 'stop' }

export interface Load {
  /** Times a second. */
  readonly perSecond: number
  /** Events each time, all at once, each with a wait of its own. */
  readonly atOnce: number
  readonly seconds: number
}

/** By the machine's monotonic clock. */
export interface OwnWrite {
  readonly n: number
  readonly committedAtMs: number
  /** When the wait for it was over. */
  readonly waitedUntilMs: number
}
