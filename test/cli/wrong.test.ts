import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { postgresCheckpointsSql } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../support/database.ts'
import { healthyShop } from './broken-shop.ts'
import { openShop, type Shop, shopOfTest, tidemark } from './rig.ts'
import { scrubbed } from './scrub.ts'

// A doctor tells of every open transaction of its server.
let server: EmbeddedPostgres
beforeAll(async () => {
  server = await ownServer()
})
afterAll(() => server.dispose())

/** What is wrong in each, besides the database that none of them asks. */
const WRONG: readonly (readonly string[])[] = [
  [],
  ['statsu'],
  ['status', '--wacth'],
  ['status', '--watch', 'often'],
  ['status', '--table', 'a', '--preset', 'emmett'],
  ['status', '--preset', 'none'],
  ['status', '--position', 'id'],
  ['status', 'orders'],
  ['why', '--schema'],
  ['doctor', '--database-url', 'localhost'],
  ['doctor', '--database-url', 'mysql://root:secret@host/shop'],
  ['console', '--port', '65536'],
  ['nodes', '--watch', '0'],
  ['nodes', 'berlin-1'],
  ['nodes', 'drain'],
  ['nodes', 'audit', '--before', 'yesterday'],
  ['skips', '--limit', 'many'],
  ['late', '--state', 'lost'],
  ['late', 'discard', '--from', 'first', '--to', '9'],
  ['late', 'reprocess', '--to', '9'],
  ['audit', '--before', 'yesterday'],
  ['projections'],
  ['projections', 'stop', 'orders'],
  ['projections', 'pause'],
  ['projections', 'pause', 'orders', 'stock'],
  ['projections', 'pause', 'orders', '--version', 'two'],
  ['projections', 'pause', 'orders', '--timeout', '-1'],
  ['projections', 'skip', 'orders'],
  ['projections', 'move', 'orders', 'back'],
  ['projections', 'switch', 'orders', 'latest'],
  ['projections', 'reshard', 'orders', '0'],
  ['projections', 'split', 'orders', '--slots', '0'],
  ['projections', 'merge', 'orders', '--slots', '512-1024'],
  ['dead-letters', 'list', '--state', 'closed'],
  ['dead-letters', 'show'],
  ['dead-letters', 'retry', '--count', 'all'],
  ['wait'],
  ['wait', 'orders', 'soon'],
  ['wait', 'orders', '--timeout', 'long'],
  ['watch', '--for', 'ever'],
  ['audit-commits', '--newest', '-5'],
  ['migrations'],
  ['migrations', 'print', '--from', 'none'],
  ['completion', 'csh'],
]

test('wrong input is told, with what to do, and ends with 2', async () => {
  const said: string[] = []
  for (const args of WRONG) {
    const { exit, out, err } = await tidemark(args, {
      env: { DATABASE_URL: 'postgres://postgres@127.0.0.1:1/none' },
    })
    // What shows the help, as that is all that can be said, shows it whole.
    const [first = ''] = err.split('\n')
    const text = first.startsWith('Usage:') ? `${first}\n...\n` : err
    said.push(
      `$ tidemark ${args.join(' ')}\n${text}${out === '' ? '' : 'and to the output: ...\n'}[exit ${exit}]\n`,
    )
    expect({ args, exit, out }).toEqual({ args, exit: 2, out: '' })
    expect(`${err}${out}`).not.toContain('secret')
  }
  await expect(said.join('\n')).toMatchFileSnapshot('golden/wrong/input.txt')
})

/** Of each kind of command one; what each needs of a database is the same. */
const EACH: readonly (readonly string[])[] = [
  ['status'],
  ['why'],
  ['doctor', '--sample', '50ms'],
  ['nodes'],
  ['nodes', 'drain', 'berlin-1', '--why', 'a test', '--yes'],
  ['skips'],
  ['late'],
  ['audit'],
  ['lost'],
  ['projections', 'pause', 'orders', '--why', 'a test', '--yes'],
  ['projections', 'move', 'orders', '1', '--why', 'a test', '--yes'],
  ['dead-letters', 'list'],
  ['dead-letters', 'resolve', '1', '--why', 'a test', '--yes'],
  ['wait', 'orders', '--timeout', '200ms'],
  ['watch', '--for', '200ms', '--consumers', 'consumers'],
  ['audit-commits', '--live', '100ms'],
  ['migrations', 'apply', '--yes'],
]

/** What each says, where they say the same together. */
async function sayings(say: (args: readonly string[]) => Promise<string>): Promise<string> {
  const same = new Map<string, string[]>()
  for (const args of EACH) {
    const text = await say(args)
    const [command = '', ...rest] = text.split('\n')
    const key = rest.join('\n')
    same.set(key, [...(same.get(key) ?? []), command])
  }
  return [...same].map(([text, commands]) => `${commands.join('\n')}\n${text}`).join('\n')
}

test('without a server each says so, and which one, and ends with 3', async () => {
  const url = 'postgres://postgres:secret@127.0.0.1:1/shop'
  const text = await sayings(async (args) => {
    const { exit, out, err } = await tidemark(args, { env: { DATABASE_URL: url } })
    expect({ args, exit }).toEqual({ args, exit: 3 })
    return scrubbed(`$ tidemark ${args.join(' ')}\n${err}${out}[exit ${exit}]\n`)
  })
  expect(text).not.toContain('secret')
  await expect(text).toMatchFileSnapshot('golden/wrong/no-server.txt')
})

test('a server that says nothing is given up', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void silent.close())
  await new Promise((resolve) => silent.once('listening', resolve))
  const address = silent.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const { exit, err } = await tidemark(['audit'], {
    env: { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'x' },
  })
  expect({ exit, err: scrubbed(err) }).toMatchObject({
    exit: 3,
    err: expect.stringMatching('cannot be reached: .*time'),
  })
})

test('a database that is not there, and a role that may not come in', async () => {
  const shop = await shopOfTest(server.url)
  const other = shop.url.replace(shop.name, 'no_such_database')
  expect(await tidemark(['audit', '--database-url', other])).toMatchObject({
    exit: 3,
    err: expect.stringContaining('Check the name of the database.'),
  })
})

test('tables that are missing, or of an earlier version: each says how they are made, and that makes them', async () => {
  const shop = await shopOfTest(server.url)
  const none = await sayings((args) => (args[0] === 'migrations' ? Promise.resolve('') : shop.said(args)))
  await expect(none).toMatchFileSnapshot('golden/wrong/no-tables.txt')
  const sql = postgresCheckpointsSql()
  await shop.pool.query(sql.slice(0, sql.indexOf('insert into "tidemark".migrations (version) values (7)')))
  const earlier = await sayings((args) => (args[0] === 'migrations' ? Promise.resolve('') : shop.said(args)))
  await expect(earlier).toMatchFileSnapshot('golden/wrong/earlier-tables.txt')
  const applied = [
    await shop.said(['migrations', 'apply']),
    await shop.said(['migrations', 'apply', '--yes']),
    await shop.said(['migrations', 'apply', '--yes', '--json']),
    await shop.said(['status']),
  ]
  await expect(applied.join('\n')).toMatchFileSnapshot('golden/wrong/migrated.txt')
  const dry = await (await shopOfTest(server.url)).tidemark(['migrations', 'apply', '--dry-run'])
  expect(dry.out).toContain('create table "tidemark".checkpoints')
})

async function asRole(shop: Shop, grants: string): Promise<(args: readonly string[]) => Promise<string>> {
  const role = `role_${shop.name.slice('test_'.length)}`
  await shop.pool.query(`create role ${role} login; ${grants.replaceAll(':role', role)}`)
  onTestFinished(async () => {
    const client = new Client(shop.url)
    await client.connect()
    await client.query(`drop owned by ${role} cascade; drop role ${role}`)
    await client.end()
    await shop.drop()
  })
  const url = new URL(shop.url)
  url.username = role
  return (args) => shop.said(args, { env: { DATABASE_URL: url.href } })
}

test('a role without rights is told which it needs', async () => {
  const say = await asRole(await healthyShop(server.url), 'select 1')
  await expect(await sayings(say)).toMatchFileSnapshot('golden/wrong/no-rights.txt')
})

const TO_LOOK = `grant usage on schema tidemark to :role; grant select on all tables in schema tidemark to :role`

test('a role with the rights of a reader sees everything, and is told what it needs to change something', async () => {
  const say = await asRole(
    await healthyShop(server.url),
    `${TO_LOOK}; grant select on events, events_position_seq to :role; grant pg_read_all_stats to :role`,
  )
  await expect(await sayings(say)).toMatchFileSnapshot('golden/wrong/readers-rights.txt')
})

test('a role with the rights of operators does all that operators do, and is told what it does not see', async () => {
  const shop = await healthyShop(server.url)
  const say = await asRole(
    shop,
    `${TO_LOOK};
     grant insert, update, delete on tidemark.checkpoints to :role;
     grant insert on tidemark.audit, tidemark.node_audit to :role;
     grant update on tidemark.dead_letters, tidemark.dead_letter_counts, tidemark.nodes to :role;
     grant insert, update on tidemark.late_event_units to :role;
     grant delete on tidemark.projection_failures to :role`,
  )
  await expect(await sayings(say)).toMatchFileSnapshot('golden/wrong/operators-rights.txt')
})

test('tidemark.config says where everything is, options come before it, and what is wrong in it is told', async () => {
  const shop = await openShop(server.url)
  onTestFinished(() => shop.drop())
  await shop.pool.query(
    'alter table events rename to "Sales Events"; alter table "Sales Events" rename position to id',
  )
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const inFolder = async (name: string, text: string, args: readonly string[] = ['why']) => {
    await writeFile(join(folder, name), text)
    const ran = await tidemark(args, { cwd: folder })
    await rm(join(folder, name))
    return ran
  }
  const config = { databaseUrl: shop.url, events: { table: '"Sales Events"', position: 'id' } }
  for (const name of ['tidemark.config.js', 'tidemark.config.mjs']) {
    expect(await inFolder(name, `export default ${JSON.stringify(config)}`)).toMatchObject({
      exit: 0,
      out: '"Sales Events" has no event yet. There is nothing to wait for.\n',
    })
  }
  const json = JSON.stringify(config)
  expect(await inFolder('tidemark.config.json', json)).toMatchObject({ exit: 0 })
  expect(await inFolder('other.json', json, ['why', '--config', 'other.json'])).toMatchObject({ exit: 0 })
  expect(await inFolder('tidemark.config.json', json, ['why', '--table', 'none'])).toMatchObject({ exit: 4 })
  const said: string[] = []
  const wrong = {
    'no object': '[]',
    'not JSON': '{',
    'an unknown word': '{"url": "x"}',
    'an unknown preset': '{"preset": "x"}',
    'no text': '{"schema": 7}',
  }
  for (const [what, text] of Object.entries(wrong)) {
    const { exit, err } = await inFolder('tidemark.config.json', text)
    said.push(`${what}: ${text}\n${err}[exit ${exit}]\n`)
  }
  const { exit, err } = await inFolder('throws.mjs', "throw new Error('no secret')", [
    'why',
    '--config',
    'throws.mjs',
  ])
  said.push(`it throws\n${err}[exit ${exit}]\n`)
  await expect(scrubbed(said.join('\n')).replaceAll(folder, '<folder>')).toMatchFileSnapshot(
    'golden/wrong/config.txt',
  )
})
