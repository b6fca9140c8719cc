import type { Proof } from './proof.ts'

type Step = 'lastHandedOut' | 'holders' | 'visible'

/** What a daemon or an adapter could do wrong around the pure functions. */
export interface Faults {
  /** The order of a poll's steps. */
  readonly order?: readonly Step[]
  /** Step 1 is `SELECT last_value`, without the sequence page's buffer lock. */
  readonly readsUnlocked?: boolean
  /** A log position below one seen before is no sign of another incarnation. */
  readonly ignoresLogPosition?: boolean
  /** The first poll of an incarnation takes the mark of the one before. */
  readonly keepsMark?: boolean
  /** A page is stored without comparing the incarnation it was loaded in. */
  readonly keepsPages?: boolean
  /** With nothing to load the checkpoint follows settled. */
  readonly checkpointsSettled?: boolean
  /** With checkpoints elsewhere the mark does not wait until the events under it are durable. */
  readonly doesNotWaitForDurability?: boolean
}

/** What is tested: the functions, and the daemon that composes them. */
export interface Subject {
  readonly proof: Proof
  readonly faults: Faults
}
