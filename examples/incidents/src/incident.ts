import type { Operations } from '@tidemark/core/operations'
import type pg from 'pg'
import type { Check } from './checks.ts'
import type { MailServer } from './mail-server.ts'
import type { Release } from './projections.ts'

/** What an incident has at hand to bring itself about. */
export interface Scene {
  readonly url: string
  readonly pool: pg.Pool
  readonly operations: Operations<bigint>
  readonly mailServer: MailServer
  /** Fires when the run ends. */
  readonly ending: AbortSignal
  deploy(release: Release): Promise<void>
  /** Stops the shop, starts it again once `work` is done, and waits until it is ready. */
  whileStopped(work: () => Promise<void>): Promise<void>
  /** How often the shop has ended by itself. */
  shopEnds(): number
  /** The consumer that Tidemark does not run. */
  startInvoices(): void
}

export interface Prepared {
  /** What the person on call is told at first. */
  readonly told: readonly string[]
  /** Besides that every projection follows, and every read model is right. */
  readonly checks?: readonly Check[]
  /** An event that may be handled or left out. */
  readonly leftOut?: bigint
}

export interface Incident {
  /** That the shop runs before it. @default '2.3' */
  readonly release?: Release
  /** Brings it about, and resolves once it has begun. */
  prepare(scene: Scene): Promise<Prepared>
}
