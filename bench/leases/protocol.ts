/** What a process with one node is asked. */
export type NodeOrder =
  /** Answered once it is there, and has not joined yet. */
  | { readonly kind: 'wait' }
  | {
      readonly kind: 'start'
      readonly url: string
      readonly name: string
      readonly leaseMs: number
      /** Names of projections: each writes down what it handles. */
      readonly units: readonly string[]
    }
  /** From now on it holds what it is about to write. Answered when it holds so many writes. */
  | { readonly kind: 'hold'; readonly where: HeldWhere; readonly writes: number }
  /** What is held goes on. Answered with what has come of it. */
  | { readonly kind: 'go_on' }
  | { readonly kind: 'stop' }

/**
 * `before`: the write is decided, and nothing of it was sent; it is sent whatever the node has learnt meanwhile. `within`: the
 * handler has written, and its transaction is open.
 */
export type HeldWhere = 'before' | 'within'

/** Of writes that were held: how many were committed, refused for their fence, or failed otherwise. */
export type HeldWrites = Readonly<Record<'committed' | 'refused' | 'failed', number>>
