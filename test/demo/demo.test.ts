import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { Client, type ClientBase, type Pool } from 'pg'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { testDatabase } from '../support/database.ts'
import { DemoProcess } from './demo-process.ts'
import type { Scrape } from './scrape.ts'

let demo: DemoProcess | undefined

afterEach(() => demo?.dispose())

const isRunning = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const schemaOf = async (client: ClientBase | Pool): Promise<string | undefined> => {
  const { rows } = await client.query("select nspname from pg_namespace where nspname like 'tidemark%'")
  return rows[0]?.nspname
}

const APPENDING = 's  appending'
const LINGERING = 'Metrics stay at '
const PROJECTIONS = ['journal', 'balances', 'refunds', 'letters']

test('loses nothing, repeats nothing and leaves nothing behind, on a server of its own', async () => {
  demo = await DemoProcess.start('--seconds', '3', '--json', '--linger-seconds', '600')
  await demo.untilItSays(APPENDING)
  const { pid } = await demo.server()
  await demo.untilItSays(LINGERING)
  const scrape = await demo.scrape()
  expect((await fetch(new URL('/', demo.metricsUrl()))).status).toBe(404)
  demo.child.kill('SIGINT')
  expect(await demo.exitStatus(), demo.stderr).toBe(0)

  const result = demo.result()
  for (const { name, handled } of result.projections) {
    expect(scrape.sum('skipped_events', name)).toBe(0)
    expect(scrape.sum('processed_events', name)).toBe(handled)
    expect(scrape.sum('projection_lag_seconds', name)).toBe(0)
    expect(scrape.sum('event_delay_seconds_count', name)).toBeGreaterThan(0)
  }
  expect(result).toEqual({
    mode: 'proof',
    postgres: expect.stringMatching(/^\d+\.\d+$/),
    seconds: expect.any(Number),
    appended: expect.any(Number),
    rolledBack: expect.any(Number),
    projections: PROJECTIONS.map((name) => ({
      name,
      handled: expect.any(Number),
      lost: 0,
      duplicated: 0,
      outOfOrder: 0,
      skipped: 0,
    })),
    delayMs: { p50: expect.any(Number), p99: expect.any(Number) },
    provenEmpty: expect.any(Number),
  })
  expect(result.appended).toBeGreaterThan(100)
  expect(result.rolledBack).toBeGreaterThan(0)
  expect(result.provenEmpty).toBeGreaterThan(0)
  expect(result.provenEmpty).toBeLessThanOrEqual(result.rolledBack)
  for (const { name, handled } of result.projections) {
    if (name === 'refunds') expect(handled).toBeLessThan(result.appended)
    else expect(handled).toBe(result.appended)
  }
  expect(demo.stdout.trim().split('\n')).toHaveLength(1)
  expect(demo.stderr).toContain('exactly once, in order')
  expect(await demo.leftBehind()).toEqual([])
  expect(isRunning(pid)).toBe(false)
})

test('in the fallback mode, on a database that is given, loses a late event and counts skips that cover it', async () => {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  const url = new URL(database.url)
  url.searchParams.set('application_name', 'something else')
  const args = ['--mode', 'stale-threshold', '--threshold-ms', '50', '--seconds', '600', '--json']
  demo = await DemoProcess.start('--database-url', url.href, ...args)
  await demo.untilItSays(APPENDING)
  const schema = await schemaOf(database.pool)
  const late = await database.pool.connect()
  await late.query('begin')
  const { rows } = await late.query(
    `insert into ${schema}.events (type, account, amount) values ('refunded', 1, 1) returning position`,
  )
  const isPassedByAll = PROJECTIONS.map(
    (name) => `exists (select from ${schema}.${name} where position > ${rows[0].position})`,
  ).join(' and ')
  await vi.waitFor(
    async () => {
      const passed = await database.pool.query(`select ${isPassedByAll} as by_all`)
      expect(passed.rows).toEqual([{ by_all: true }])
    },
    { timeout: 30_000 },
  )
  await late.query('commit')
  late.release()
  demo.child.kill('SIGTERM')
  expect(await demo.exitStatus(), demo.stderr).toBe(0)

  const { projections, mode } = demo.result()
  expect(mode).toBe('stale-threshold')
  expect(projections).toHaveLength(4)
  for (const { lost, skipped } of projections) {
    expect(lost).toBeGreaterThan(0)
    expect(skipped).toBeGreaterThanOrEqual(lost)
  }
  expect(demo.stderr).toContain('the counted skips cover the losses')
  expect(await schemaOf(database.pool)).toBeUndefined()
})

test('in the fallback mode, /metrics counts the skips of the verdict', async () => {
  const args = ['--mode', 'stale-threshold', '--threshold-ms', '50', '--seconds', '4', '--json']
  demo = await DemoProcess.start(...args, '--linger-seconds', '3')
  await demo.untilItSays(APPENDING)
  let last: Scrape | undefined
  while (demo.child.exitCode === null) {
    // There is none any more when it has just ended.
    last = (await demo.scrape().catch(() => undefined)) ?? last
    await setTimeout(200)
  }
  expect(await demo.exitStatus(), demo.stderr).toBe(0)

  const skips = demo.result().projections.map(({ name, skipped }) => ({ name, skipped }))
  expect(skips.map(({ name }) => name)).toEqual(PROJECTIONS)
  for (const { skipped } of skips) expect(skipped).toBeGreaterThan(0)
  const scraped = (metric: string) => PROJECTIONS.map((name) => ({ name, skipped: last?.sum(metric, name) }))
  expect(scraped('skipped_events')).toEqual(skips)
  expect(scraped('skipped_events_recorded')).toEqual(skips)
})

test('an occupied port is an error that names it and the option, before anything is started', async () => {
  const occupant = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void occupant.close())
  await once(occupant, 'listening')
  const { port } = occupant.address() as AddressInfo
  demo = await DemoProcess.start('--port', String(port))
  expect(await demo.exitStatus()).toBe(1)
  expect(demo.stderr).toContain(`port ${port} of 127.0.0.1: another process listens there`)
  expect(demo.stderr).toContain('--port')
  expect(demo.stderr).not.toContain('Starting')
})

test('a Ctrl-C ends it early, with a verdict, and leaves no process and no folder behind', async () => {
  demo = await DemoProcess.start('--seconds', '600')
  await demo.untilItSays(APPENDING)
  const { pid } = await demo.server()
  demo.child.kill('SIGINT')
  // npx and pnpm pass it on.
  demo.child.kill('SIGINT')
  expect(await demo.exitStatus(), demo.stderr).toBe(0)
  expect(demo.stdout).toContain('until interrupted')
  expect(demo.stdout).toContain('exactly once, in order')
  expect(await demo.leftBehind()).toEqual([])
  expect(isRunning(pid)).toBe(false)
})

test('a second Ctrl-C ends it at once where a first one cannot, and still leaves nothing behind', async () => {
  demo = await DemoProcess.start('--seconds', '600')
  await demo.untilItSays(APPENDING)
  const running = demo
  const { pid, url } = await running.server()
  const locker = new Client(url)
  locker.on('error', () => {})
  await locker.connect()
  await locker.query(`begin; lock table ${await schemaOf(locker)}.events in exclusive mode`)
  // With no writer held up, the first one is enough.
  await vi.waitFor(async () => {
    const { rows } = await locker.query('select from pg_locks where not granted')
    expect(rows).not.toEqual([])
  })

  running.child.kill('SIGINT')
  await running.untilItSays('interrupted, ending what is open')
  // Sooner than that it would be taken for the first one, passed on by npx and pnpm.
  await setTimeout(500)
  expect(running.child.exitCode).toBe(null)
  running.child.kill('SIGINT')
  expect(await running.exitStatus()).toBe(130)
  await vi.waitFor(
    async () => {
      expect(isRunning(pid)).toBe(false)
      expect(await running.leftBehind()).toEqual([])
    },
    { timeout: 20_000 },
  )
})

test('a bad option ends it with status 2, before anything is started', async () => {
  demo = await DemoProcess.start('--seconds', 'many')
  expect(await demo.exitStatus()).toBe(2)
  expect(demo.stderr).toContain('--seconds: expected a whole number from 1 to 3600, found "many"')
})

test('a server that cannot be reached is an error that says so', async () => {
  demo = await DemoProcess.start('--database-url', 'postgresql://nobody:secret@127.0.0.1:1/nothing')
  expect(await demo.exitStatus()).toBe(1)
  expect(demo.stderr).toContain('ECONNREFUSED')
  expect(demo.stderr).not.toContain('secret')
})
