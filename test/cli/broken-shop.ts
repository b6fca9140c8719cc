import type { Projection } from '@tidemark/core'
import type { PgClient, PostgresRow } from '@tidemark/pg-adapter'
import { expect, vi } from 'vitest'
import { aged, append, openShop, quiet, type Shop } from './rig.ts'

const PATIENT = { timeout: 30_000, interval: 50 }

/** Everything is handled, and nobody has touched anything. */
export async function healthyShop(serverUrl?: string): Promise<Shop> {
  const shop = await openShop(serverUrl)
  await append(shop, 5)
  const daemon = await shop.daemon([quiet('orders'), quiet('stock')])
  await daemon.waitUntilProjected()
  await daemon.stop()
  // How a page is read depends on what the server believes of the table.
  await shop.pool.query('analyze events')
  return shop
}

/**
 * Two nodes have shared it. `berlin-0` was killed with the upper half of `orders`, which stands at 2 of 5 since five minutes; the lower
 * half follows on `berlin-1`.
 */
export async function sharedShop(serverUrl?: string): Promise<Shop> {
  const shop = await healthyShop(serverUrl)
  const { pool, operations } = shop
  await operations.reshard({ projection: 'orders', shards: 2, who: 'ann', why: 'one was too slow' })
  await aged(shop, '5 minutes')
  await pool.query(`insert into tidemark.nodes (id, name, source, capacity, units, is_leaving, expires_at) values
      ('gone', 'berlin-0', 'events', 1, '{}', false, now() - interval '5 minutes'),
      ('here', 'berlin-1', 'events', 2, '{}', false, now() + interval '1 day');
    update tidemark.checkpoints set owner = 'here', session = 'here';
    update tidemark.checkpoints set owner = 'gone', session = 'gone', position = '2' where slot_from = 512`)
  return shop
}

/** Throws at these types. Of an event it says no more than that. */
const failing = (
  name: string,
  types: readonly string[],
  more: Partial<Projection<PostgresRow, PgClient>> = {},
): Projection<PostgresRow, PgClient> => ({
  name,
  attempts: 1,
  handle: async (events) => {
    for (const { type } of events) {
      if (types.includes(String(type))) throw new TypeError(`no amount in ${String(type)}`)
    }
  },
  ...more,
})

/**
 * An import holds the mark at 6 of 9. `orders` has failed at 4 for five minutes; `mails` is paused; `search` has given up 2 and 4;
 * nobody runs `stock` any more.
 */
export async function brokenShop(serverUrl?: string): Promise<Shop> {
  const shop = await openShop(serverUrl)
  const { operations, pool } = shop
  await append(shop, 1)
  await append(shop, 1, 'OrderPaid')
  await append(shop, 1)
  const stock = await shop.daemon([quiet('stock')])
  await stock.waitUntilProjected()
  await stock.stop()
  await append(shop, 1, 'OrderCancelled')
  await append(shop, 2)
  const daemon = await shop.daemon([
    failing('orders', ['OrderCancelled']),
    failing('search', ['OrderPaid', 'OrderCancelled'], { onFailure: 'skip' }),
    quiet('mails'),
  ])
  await vi.waitFor(async () => {
    const units = await operations.list()
    const positions = Object.fromEntries(units.map(({ unit, position }) => [unit.projection, position]))
    expect(positions).toEqual({ orders: '3', search: '6', mails: '6', stock: '3' })
    expect(units.find(({ unit }) => unit.projection === 'orders')?.failure?.isPaused).toBe(true)
  }, PATIENT)
  await operations.pause({ projection: 'mails', who: 'ann', why: 'the mail server is down' })
  await daemon.stop()
  await aged(shop, '5 minutes')
  // As a daemon leaves it that was killed.
  await pool.query(`update tidemark.checkpoints set session = 'killed' where projection = 'orders'`)
  const importer = await shop.session('import-of-suppliers')
  await importer.query(`begin; insert into events (type) values ('SupplierAdded')`)
  await append(shop, 2)
  // Its transaction has to be old enough to be told of.
  await vi.waitFor(async () => {
    const { rows } = await pool.query(
      `select extract(epoch from clock_timestamp() - xact_start) > 3.5 as old from pg_stat_activity where application_name = 'import-of-suppliers'`,
    )
    expect(rows[0]?.old).toBe(true)
  }, PATIENT)
  await pool.query('analyze events')
  return shop
}
