import { expect, test } from 'vitest'
import { eventually } from '../support/event-table.ts'
import { append, quiet, shopOfTest, tidemark } from './rig.ts'

test('wait ends when everything so far is handled, or what was named, and says how far it was where it is not', async () => {
  const shop = await shopOfTest()
  await append(shop, 3)
  const daemon = await shop.daemon([quiet('orders')])
  await daemon.waitUntilProjected()
  const said = [await shop.said(['wait', 'orders'])]
  said.push(await shop.said(['wait', 'orders', '2', '--json']))
  await daemon.stop()
  await append(shop, 1)
  said.push(await shop.said(['wait', 'orders', '3']))
  said.push(await shop.said(['wait', 'orders', '--timeout', '200ms']))
  said.push(await shop.said(['wait', 'orders', '--timeout', '200ms', '--json']))
  said.push(await shop.said(['wait', 'none', '--timeout', '200ms']))
  await expect(said.join('\n')).toMatchFileSnapshot('golden/time/wait.txt')
})

test('wait follows a projection that is behind until it has come up', async () => {
  const shop = await shopOfTest()
  await append(shop, 3)
  const first = await shop.daemon([quiet('orders')])
  await first.waitUntilProjected()
  await first.stop()
  await append(shop, 2)
  const waiting = shop.tidemark(['wait', 'orders'])
  await shop.daemon([quiet('orders')])
  expect(await waiting).toMatchObject({ exit: 0, out: expect.stringContaining('orders has reached 5') })
})

test('watch tells each event that a consumer loses while it looks, and ends with 1 then', async () => {
  const shop = await shopOfTest()
  await shop.pool.query(`create table consumers (name text primary key, position bigint not null);
    insert into consumers values ('invoices', 0)`)
  const watch = [
    ...['watch', '--consumers', 'consumers', '--handles', 'invoices=OrderPlaced', '--event-type', 'type'],
    ...['--table', 'events', '--json'],
  ]
  const stop = new AbortController()
  let heard = ''
  const watching = shop.tidemark(watch, {
    signal: stop.signal,
    heard: (out) => {
      heard = out
    },
  })
  const looks = () => heard.split('\n').filter((line) => line.startsWith('{"status"')).length
  await eventually(looks).toBeGreaterThan(0)
  const slow = await shop.session('import')
  // The consumer goes by what it sees. What falls between two looks is not told: it may take several tries.
  await eventually(async () => {
    await slow.query('begin; insert into events default values')
    await append(shop, 1)
    await shop.pool.query('update consumers set position = (select max(position) from events)')
    await shop.pool.query('select pg_sleep(0.3)')
    await slow.query('commit')
    await shop.pool.query('select pg_sleep(0.3)')
    return heard.includes('{"lost"')
  }).toBe(true)
  stop.abort()
  const { exit, out } = await watching
  expect(exit).toBe(1)
  const lost = out
    .trimEnd()
    .split('\n')
    .map((line): { lost?: Record<string, unknown> } => JSON.parse(line))
    .flatMap(({ lost: event }) => event ?? [])
  expect(lost[0]).toMatchObject({ consumer: 'consumers.invoices', verdict: 'lost', type: 'OrderPlaced' })
})

test('watch shows how each consumer stands, ends in time, and wants to be told where they are', async () => {
  const shop = await shopOfTest()
  await shop.pool.query(`create table consumers (name text primary key, position bigint not null);
    insert into consumers values ('invoices', 2), ('newsletter', 3)`)
  await append(shop, 3)
  const of = ['watch', '--table', 'events', '--for', '400ms']
  const said = [
    await shop.said(of),
    await shop.said([...of, '--consumers', 'none']),
    await shop.said([...of, '--consumers', 'consumers', '--handles', 'invoices']),
  ]
  await expect(said.join('\n')).toMatchFileSnapshot('golden/time/watch-wrong.txt')
  const { exit, out } = await shop.tidemark([...of, '--consumers', 'consumers'])
  expect(exit).toBe(0)
  expect(out).toMatch(/consumers\.invoices +2 +1 /)
  expect(out).toMatch(/consumers\.newsletter +3 +0 /)
})

test('audit-commits says in which order the events of a table were committed', async () => {
  const shop = await shopOfTest()
  await append(shop, 3)
  const { exit, out } = await shop.tidemark(['audit-commits', '--table', 'events', '--live', '200ms'])
  expect({ exit, out }).toMatchObject({
    exit: 0,
    out: expect.stringContaining('3 rows read, positions 1 to 3.'),
  })
  const json = await shop.tidemark(['audit-commits', '--table', 'events', '--live', '200ms', '--json'])
  expect(JSON.parse(json.out)).toMatchObject({ measured: 'live', past: { rows: 3, lastPosition: '3' } })
  const progress = await shop.tidemark(['audit-commits', '--table', 'events', '--live', '200ms'], {
    columns: 80,
  })
  expect(progress.err).toContain('3 positions')
})

test('migrations print needs no database, and prints what daemons run', async () => {
  const { exit, out } = await tidemark(['migrations', 'print', '--schema', 'sales', '--from', '15'])
  expect({ exit, out }).toMatchObject({
    exit: 0,
    out: expect.stringMatching(/^insert into "sales"\.migrations/),
  })
  const shop = await shopOfTest()
  await shop.pool.query((await tidemark(['migrations', 'print'])).out)
  expect(await shop.tidemark(['status'])).toMatchObject({
    exit: 0,
    out: expect.stringContaining('There is no checkpoint yet'),
  })
})
