import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ownServer } from '../support/database.ts'
import { brokenShop, healthyShop, sharedShop } from './broken-shop.ts'
import { manual } from './manual.ts'
import { programToRead } from './program-to-read.ts'
import type { Shop } from './rig.ts'

// A doctor tells of every open transaction of its server.
let server: EmbeddedPostgres
let healthy: Shop
let broken: Shop
let shared: Shop
beforeAll(async () => {
  server = await ownServer()
  healthy = await healthyShop(server.url)
  broken = await brokenShop(server.url)
  shared = await sharedShop(server.url)
})
afterAll(async () => {
  await healthy.drop()
  await broken.drop()
  await shared.drop()
  await server.dispose()
})

/** Commands that only read. */
const COMMANDS: readonly (readonly string[])[] = [
  ['status'],
  ['why'],
  ['doctor', '--sample', '50ms'],
  ['nodes'],
  ['skips'],
  ['late'],
  ['audit'],
  ['lost'],
  ['dead-letters', 'list'],
  ['audit-commits', '--live', '200ms'],
]

describe.each(['healthy', 'broken'] as const)('on a %s database', (state) => {
  test.each(COMMANDS.map((command) => [command.join(' '), command] as const))(
    '%s says the same to everybody, in words and as JSON',
    async (name, command) => {
      const shop = state === 'healthy' ? healthy : broken
      const golden = `golden/${state}/${name.replace(/ --.*/, '').replaceAll(' ', '-')}`
      await expect(await shop.said(command)).toMatchFileSnapshot(`${golden}.txt`)
      await expect(await shop.said([...command, '--json'])).toMatchFileSnapshot(`${golden}.json.txt`)
    },
  )
})

test.each([['status'], ['nodes']])('a shard that lags, and the node that is gone: %s', async (command) => {
  await expect(await shared.said([command])).toMatchFileSnapshot(`golden/shared/${command}.txt`)
  await expect(await shared.said([command, '--json'])).toMatchFileSnapshot(
    `golden/shared/${command}.json.txt`,
  )
})

test('in a narrow terminal each projection is a block of its own, and no line is wider than that', async () => {
  const said = await broken.said(['status'], { columns: 50, env: { NO_COLOR: '1' } })
  const table = said.slice(said.indexOf('\nmails') + 1)
  for (const line of table.split('\n')) expect(line.length).toBeLessThanOrEqual(50)
  await expect(said).toMatchFileSnapshot('golden/broken/status-narrow.txt')
})

test('it is coloured in a terminal, and nowhere else, nor where somebody does not want it', async () => {
  const isColoured = async (args: readonly string[], running: Parameters<Shop['tidemark']>[1]) =>
    (await broken.tidemark(args, running)).out.includes('\u001b[')
  expect(await isColoured(['status'], { columns: 100 })).toBe(true)
  expect(await isColoured(['status'], {})).toBe(false)
  expect(await isColoured(['status', '--no-color'], { columns: 100 })).toBe(false)
  expect(await isColoured(['status'], { columns: 100, env: { NO_COLOR: '1' } })).toBe(false)
  expect(await isColoured(['status'], { columns: 100, env: { TERM: 'dumb' } })).toBe(false)
})

test('--watch shows it again and again, as JSON a line each, with rates, until Ctrl-C', async () => {
  const stop = new AbortController()
  const { exit, out } = await broken.tidemark(['status', '--watch', '50ms', '--json'], {
    signal: stop.signal,
    heard: (text) => {
      if (text.split('\n').length > 3) stop.abort()
    },
  })
  const lines = out.trimEnd().split('\n')
  expect(exit).toBe(130)
  expect(lines.length).toBeGreaterThan(1)
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ healthy: false })
})

test('a dead letter is shown with its stack, and its events only where that is asked for', async () => {
  await expect(await broken.said(['dead-letters', 'show', '1'])).toMatchFileSnapshot(
    'golden/broken/dead-letters-show.txt',
  )
  const { out } = await broken.tidemark(['dead-letters', 'show', '1'])
  expect(out).not.toContain("OrderPaid'")
  const withData = await broken.tidemark(['dead-letters', 'show', '1', '--data'])
  expect(withData.out).toContain("type: 'OrderPaid'")
})

test('what is in a database does not steer a terminal', async () => {
  await broken.pool.query(
    `update tidemark.checkpoints set desired_why = E'\\u001b[2J\\u202Egone\\nnext' where projection = 'mails'`,
  )
  const { out } = await broken.tidemark(['status', '--no-color'], { columns: 300 })
  expect(out).toContain('\\x1b[2J\\u202egone\\nnext')
  expect(out).not.toContain('\u001b')
  const json = await broken.tidemark(['status', '--json'])
  expect(json.out).not.toContain('\u202e')
  expect(
    JSON.parse(json.out)
      .problems.map(({ what }: { what: string }) => what)
      .join(),
  ).toContain('\u202egone')
})

// It shows what was seen above.
test('docs/cli.md is made of the commands themselves', async () => {
  await expect(manual(programToRead())).toMatchFileSnapshot('../../docs/cli.md')
})
