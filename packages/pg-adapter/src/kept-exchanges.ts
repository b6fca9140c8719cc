import type { Row } from './checkpoint-tables.ts'
import type { BoundedClient } from './client.ts'
import { transact } from './transaction.ts'

/** Transactions over a connection that is kept, one at a time. */
export class KeptExchanges {
  /** Resolves when a transaction has failed or was given up: what the backend is in the middle of is not known. */
  readonly broken: Promise<void>
  readonly #client: BoundedClient
  #break: () => void = () => {}
  #isBroken = false

  constructor(client: BoundedClient) {
    this.#client = client
    this.broken = new Promise((resolve) => {
      this.#break = resolve
    })
  }

  /** `undefined` where it is broken. */
  async run(sql: string, signal: AbortSignal): Promise<readonly Row[] | undefined> {
    if (this.#isBroken) return undefined
    signal.throwIfAborted()
    let abort = (): void => {}
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(signal.reason)
    })
    signal.addEventListener('abort', abort)
    try {
      const results = await Promise.race([transact(this.#client, sql), aborted])
      return results.flatMap(({ rows }) => rows)
    } catch (error) {
      this.#isBroken = true
      this.#break()
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}
