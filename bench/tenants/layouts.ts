/** How tenants are laid out, and what their daemons are given. */
export interface Layout {
  readonly name: string
  /** Otherwise all tenants have a schema of one database, and their daemons share one pool. */
  readonly isDatabaseEach: boolean
  readonly wakeUps: 'wait' | 'none'
  /** Otherwise the default. */
  readonly pollIntervalMs?: number
  /** Of each pool. */
  readonly pool: { readonly max: number; readonly idleTimeoutMillis?: number }
}

export const LAYOUTS: readonly Layout[] = [
  { name: "a database each, wakeUps: 'wait'", isDatabaseEach: true, wakeUps: 'wait', pool: { max: 3 } },
  { name: "a database each, 'none'", isDatabaseEach: true, wakeUps: 'none', pool: { max: 2 } },
  {
    name: "a database each, 'none', a poll in 10 s, idle connections closed",
    isDatabaseEach: true,
    wakeUps: 'none',
    pollIntervalMs: 10_000,
    pool: { max: 2, idleTimeoutMillis: 1_000 },
  },
  {
    name: "a schema each, one pool of 10, 'none'",
    isDatabaseEach: false,
    wakeUps: 'none',
    pool: { max: 10 },
  },
]

/** What the process with the daemons is asked. */
export type TenantsOrder =
  | {
      readonly kind: 'start'
      readonly layout: Layout
      /** Connection string and table of each tenant. */
      readonly tenants: readonly (readonly [url: string, table: string])[]
    }
  | { readonly kind: 'report' }
  | { readonly kind: 'stop' }

export interface TenantsReport {
  /** Resident set of the process before the first daemon, and now, in bytes. */
  readonly residentBefore: number
  readonly resident: number
  readonly handled: number
  /** From the append to the end of the handler, of what was handled since the last report. */
  readonly delays: readonly number[]
}
