import type { StoredNode } from '../ports/leases.ts'

/** What one look at the store has found; units are `unitKey`s. */
export interface ClusterView {
  readonly nodes: readonly StoredNode[]
  readonly leases: readonly {
    readonly unit: string
    readonly owner: string | undefined
    readonly fence: bigint
  }[]
}

export interface UnitLease {
  readonly unit: string
  readonly fence: bigint
}

interface UnitClaim extends UnitLease {
  /** See `Claim.gone`. */
  readonly gone: string | undefined
}

/** What happens to a node. Each of `renew`, `claim`, `release` and `leave` is answered once, if only by `failed`. */
export type LeaseInput =
  /** The time of a `wait` has come. */
  | { readonly kind: 'due' }
  /** Something may have changed in the store. */
  | { readonly kind: 'hint' }
  | { readonly kind: 'renewed'; readonly cluster: ClusterView }
  | { readonly kind: 'claimed'; readonly leases: readonly UnitLease[] }
  | { readonly kind: 'released' }
  | { readonly kind: 'left' }
  /** There was no answer in time, or it was an error: what was asked may have been done, may be done later, or never. */
  | { readonly kind: 'failed' }
  /** The work under that grant has ended: answers `finish`, or its loop gives no sign of life. */
  | ({ readonly kind: 'finished' } & UnitLease)
  | { readonly kind: 'stop' }

export type LeaseCommand =
  | { readonly kind: 'renew'; readonly isLeaving: boolean }
  | { readonly kind: 'claim'; readonly claims: readonly UnitClaim[] }
  | { readonly kind: 'release'; readonly leases: readonly UnitLease[] }
  | { readonly kind: 'leave' }
  /** The unit may be worked on. */
  | ({ readonly kind: 'grant' } & UnitLease)
  /** Work on it is to end after the batch at hand. */
  | ({ readonly kind: 'finish' } & UnitLease)
  /** The right to it is lost. */
  | ({ readonly kind: 'revoke' } & UnitLease)
  /** Replaces the `wait` before. */
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'end' }

/** Where the leases of one node stand. All times are of one clock that is never set. */
export interface LeaseStanding {
  readonly life: 'in' | 'leaving' | 'gone'
  readonly asked: Asked | undefined
  /** Until then this node trusts that nobody else is given what it has. */
  readonly trustedUntilMs: number
  readonly renewDueMs: number
  /** Nothing is asked before: something has failed. */
  readonly quietUntilMs: number
  /** What may be worked on. */
  readonly works: ReadonlyMap<string, { readonly fence: bigint; readonly isFinishing: boolean }>
  /** What work has ended at, and others wait for. */
  readonly toRelease: ReadonlyMap<string, bigint>
  /** Which presence of which node was gone at the last look, and since when this node knows. */
  readonly suspects: ReadonlyMap<string, Suspect>
}

export interface Suspect {
  readonly which: string
  readonly sinceMs: number
}

export interface Asked {
  readonly kind: 'renew' | 'claim' | 'release' | 'leave'
  readonly atMs: number
  /** What `release` gives back. */
  readonly leases?: ReadonlyMap<string, bigint>
}

export const NOT_JOINED: LeaseStanding = {
  life: 'in',
  asked: undefined,
  trustedUntilMs: Number.NEGATIVE_INFINITY,
  renewDueMs: Number.NEGATIVE_INFINITY,
  quietUntilMs: Number.NEGATIVE_INFINITY,
  works: new Map(),
  toRelease: new Map(),
  suspects: new Map(),
}

export interface LeaseContext {
  readonly nowMs: number
  /** `NodeReport.id` of this node. */
  readonly node: string
  readonly leaseMs: number
}

export interface LeaseStep {
  readonly standing: LeaseStanding
  readonly commands: readonly LeaseCommand[]
}
