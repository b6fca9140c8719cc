import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type ChildProgram, startProgram } from '../support/child-program.ts'
import { testDatabase } from '../support/database.ts'
import { type EsdbServer, startEsdbServer } from '../support/esdb-server/server.ts'
import { clientName } from './client.ts'
import { describeSteered } from './server-in-use.ts'

const example = (path: string): string => fileURLToPath(new URL(`../../examples/${path}.js`, import.meta.url))
// How long a run takes depends on what else the machine does.
vi.setConfig({ testTimeout: 120_000 })
const PATIENCE = { timeout: 60_000, interval: 50 }

let server: EsdbServer
beforeAll(async () => {
  server = await startEsdbServer()
})
afterAll(async () => {
  await server.stop()
})

const placed = (count: number) => Array.from({ length: count }, () => ({ type: 'OrderPlaced' }))
const deposited = (amount: number) => ({ type: 'Deposited', data: { account: 'alice', amount } })

/** They write to streams with names of their own, which a cluster of the user's may have. */
describeSteered('the examples', () => {
  describe('wrap-subscription', () => {
    const program = example(`wrap-subscription/dist/${clientName === 'kurrentdb' ? 'main' : 'eventstore'}`)

    test('shows what was processed and ends by itself on SIGTERM, its call to the server too', async () => {
      const child = startProgram(program, {
        ESDB_CONNECTION_STRING: server.connectionString,
        METRICS_PORT: '0',
      })
      const url = await child.said(/metrics: (\S+)/)
      await server.write('orders', placed(3))
      await vi.waitFor(async () => {
        const scraped = await (await fetch(url)).text()
        expect(scraped).toContain('martend_async_daemon_processed_events{projection_name="mailer"} 3\n')
        expect(scraped).toContain('martend_async_daemon_projection_position{projection_name="mailer"} 2\n')
        expect(scraped).toContain(
          'martend_async_daemon_skipped_events{projection_name="mailer",reason="truncated"} 0\n',
        )
      }, PATIENCE)
      expect(child.output()).toContain('a mail about OrderPlaced 2\n')
      child.kill('SIGTERM')
      expect(await child.exit).toEqual([0, null])
      await vi.waitFor(async () => expect((await server.counters()).open.subscription).toBe(0), PATIENCE)
    })

    test('says what is missing', async () => {
      const child = startProgram(program)
      expect(await child.exit).toEqual([2, null])
      expect(child.output()).toMatch(/^ESDB_CONNECTION_STRING is not set: expected/)
    })
  })

  describe.runIf(clientName === 'kurrentdb')('competing consumers', () => {
    const program = example('wrap-subscription/dist/competing-consumer')
    const env = () => ({ ESDB_CONNECTION_STRING: server.connectionString, METRICS_PORT: '0' })
    const handled = (...consumers: readonly ChildProgram[]) =>
      consumers.flatMap((child) =>
        [...child.output().matchAll(/a mail about Rated (\d+)/g)].map(([, n]) => Number(n)),
      )

    test('share the events out, and each shows the group and what it did itself', async () => {
      await server.write('orders', [{ type: 'Rated' }])
      const first = startProgram(program, env())
      const second = startProgram(program, env())
      const urls = await Promise.all([first, second].map((child) => child.said(/metrics: (\S+)/)))
      const scrape = async (): Promise<readonly string[]> =>
        Promise.all(urls.map(async (url) => (await fetch(url)).text()))
      await vi.waitFor(async () => {
        for (const text of await scrape())
          expect(text).toMatch(/group_consumers\{projection_name="orders::mailer"\} 2\n/)
      }, PATIENCE)
      await server.write(
        'orders',
        Array.from({ length: 20 }, () => ({ type: 'Rated' })),
      )
      await vi.waitFor(async () => {
        const acknowledged = (await scrape()).map((text) =>
          Number(
            /acknowledged_events\{projection_name="orders::mailer",action="ack"\} (\d+)/.exec(text)?.[1],
          ),
        )
        expect(acknowledged.every((count) => count > 0)).toBe(true)
        expect(new Set(handled(first, second)).size).toBe(21)
      }, PATIENCE)
      for (const child of [first, second]) {
        child.kill('SIGTERM')
        expect(await child.exit).toEqual([0, null])
      }
    })
  })

  describe.runIf(clientName === 'kurrentdb')('kurrentdb-to-postgres', () => {
    const program = example('kurrentdb-to-postgres/dist/main')

    test('projects each event once, also over a restart, and ends by itself on SIGINT', async () => {
      const db = await testDatabase()
      onTestFinished(() => db.drop())
      const run = async (balance: number): Promise<void> => {
        const child = startProgram(program, {
          ESDB_CONNECTION_STRING: server.connectionString,
          DATABASE_URL: db.url,
        })
        await child.said(/projecting/)
        await vi.waitFor(async () => {
          const { rows } = await db.pool.query('select account, amount::int from balances')
          expect(rows).toEqual([{ account: 'alice', amount: balance }])
        }, PATIENCE)
        child.kill('SIGINT')
        expect(await child.exit).toEqual([0, null])
      }
      await server.write('account-alice', [deposited(10), { type: 'Renamed' }, deposited(5)])
      await server.write('elsewhere', [deposited(1_000)])
      await run(15)
      await server.write('account-alice', [deposited(7)])
      await run(22)
    })

    test('says what is missing', async () => {
      const child = startProgram(program)
      expect(await child.exit).toEqual([2, null])
      expect(child.output()).toMatch(
        /ESDB_CONNECTION_STRING is not set: expected[\s\S]*DATABASE_URL is not set/,
      )
    })
  })
})
