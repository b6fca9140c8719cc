import type { LiveMessage } from '../../src/protocol.ts'
import { duration } from './words.ts'

/** How messages come. `none`: they do not. */
export type Via = 'stream' | 'polling' | 'none'

export interface Link {
  readonly via: Via
  /** Where nothing comes: why the last question was not answered. */
  readonly refusal: { readonly message: string; readonly next: readonly string[] } | undefined
  /** By the clock of this browser; `undefined`: none has come yet. */
  readonly receivedAtMs: number | undefined
  readonly message: LiveMessage | undefined
  readonly lookEveryMs: number
}

/** How far what is shown may be relied on, the best first. */
export type Freshness =
  | { readonly is: 'fresh'; readonly says: string }
  | { readonly is: 'waiting'; readonly says: string }
  | {
      readonly is: 'old' | 'server-away' | 'database-away'
      readonly says: string
      readonly next: readonly string[]
    }

const LOOKS_MISSED = 3
const LEAST_OLD_MS = 8_000

/** Pure. */
export function freshness(link: Link, nowMs: number): Freshness {
  const { via, refusal, receivedAtMs, message, lookEveryMs } = link
  const away = (shown: string): Freshness => ({
    is: 'server-away',
    says: `${refusal?.message ?? 'Nobody answers.'} ${shown}`,
    next: refusal?.next ?? [],
  })
  if (message === undefined || receivedAtMs === undefined) {
    return via === 'none'
      ? away('Nothing is shown yet.')
      : { is: 'waiting', says: 'Waiting for the first look.' }
  }
  const sinceMs = Math.max(0, nowMs - receivedAtMs)
  const { overview, failure, sentAtMs } = message
  const ageMs = overview === null ? undefined : Math.max(0, sentAtMs - overview.atMs) + sinceMs
  const shown = ageMs === undefined ? 'Nothing is shown yet.' : `What is shown is ${duration(ageMs)} old.`
  if (via === 'none') return away(shown)
  if (failure !== null) {
    const forMs = Math.max(0, sentAtMs - failure.sinceMs) + sinceMs
    const says = `The database cannot be looked at, for ${duration(forMs)}: ${failure.message} ${shown}`
    return { is: 'database-away', says, next: failure.next }
  }
  if (sinceMs > oldAfterMs(lookEveryMs)) return { is: 'old', says: shown, next: [] }
  if (ageMs === undefined) return { is: 'waiting', says: 'Waiting for the first look.' }
  return { is: 'fresh', says: via === 'stream' ? 'Live' : `Asked every ${duration(lookEveryMs)}` }
}

/** After so long without a message something is wrong. */
export function oldAfterMs(lookEveryMs: number): number {
  return Math.max(LEAST_OLD_MS, lookEveryMs * LOOKS_MISSED)
}
