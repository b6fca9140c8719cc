import type { PoolClient } from 'pg'
import { type RelayedEvent, toEvent } from './event.ts'

/** An event, and where it stands in the stream. */
interface Sent {
  readonly sequence: number
  readonly position: bigint
}

/** So many messages the stream may lose, and they are sent again. */
const KEPT = 100_000

/**
 * Which events stand where in the stream. It is written in the transaction that moves the checkpoint, so that it says exactly what
 * the database knows to be sent.
 */
export class Ledger {
  readonly #stream: string

  constructor(stream: string) {
    this.#stream = stream
  }

  /** Makes its table. */
  async prepare(tx: PoolClient): Promise<void> {
    await this.lock(tx)
    await tx.query(`
      create table if not exists relay_sent (
        stream text not null, sequence bigint not null, position bigint not null, primary key (stream, sequence)
      );
      create index if not exists relay_sent_position on relay_sent (stream, position)`)
  }

  /** One relay at a time, until the transaction ends. */
  async lock(tx: PoolClient): Promise<void> {
    await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`relay to ${this.#stream}`])
  }

  /** The sequences of the first and the last message that it knows; 0 where there is none. */
  async ends(tx: PoolClient): Promise<{ readonly first: number; readonly last: number }> {
    const { rows } = await tx.query(
      'select coalesce(min(sequence), 0) as first, coalesce(max(sequence), 0) as last from relay_sent where stream = $1',
      [this.#stream],
    )
    return { first: Number(rows[0].first), last: Number(rows[0].last) }
  }

  async positions(tx: PoolClient, among: readonly RelayedEvent[]): Promise<ReadonlySet<bigint>> {
    const { rows } = await tx.query(
      'select position from relay_sent where stream = $1 and position = any ($2::bigint[])',
      [this.#stream, among.map(({ position }) => position)],
    )
    return new Set(rows.map(({ position }) => BigInt(position)))
  }

  async add(tx: PoolClient, sent: readonly Sent[]): Promise<void> {
    await tx.query(
      `insert into relay_sent (stream, sequence, position)
       select $1, s, p from unnest($2::bigint[], $3::bigint[]) as t (s, p)`,
      [this.#stream, sent.map(({ sequence }) => sequence), sent.map(({ position }) => position)],
    )
    const last = sent.at(-1)?.sequence ?? 0
    await tx.query('delete from relay_sent where stream = $1 and sequence <= $2', [this.#stream, last - KEPT])
  }

  /** Forgets what stood above that sequence, and returns those events in the order in which they stood there. */
  async takeAbove(tx: PoolClient, sequence: number): Promise<readonly RelayedEvent[]> {
    const { rows } = await tx.query(
      `with lost as (delete from relay_sent where stream = $1 and sequence > $2 returning sequence, position)
       select events.* from lost join events using (position) order by lost.sequence`,
      [this.#stream, sequence],
    )
    return rows.map(toEvent)
  }
}
