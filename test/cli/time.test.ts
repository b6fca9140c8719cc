import { expect, test } from 'vitest'
import { eventually } from '../support/event-table.ts'
import { append, quiet, shopOfTest, tidemark } from './rig.ts'
import { scrubbed } from './scrub.ts'

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

test('watch tells each event that a consumer loses while it looks, ends with 1 then, and with --keep lets status tell of it', async () => {
  const shop = await shopOfTest()
  await append(shop, 1)
  const daemon = await shop.daemon([quiet('orders')])
  await daemon.waitUntilProjected()
  await daemon.stop()
  await shop.pool.query(`create table consumers (name text primary key, position bigint not null);
    insert into consumers values ('invoices', 0)`)
  const watch = [
    ...['watch', '--consumers', 'consumers', '--handles', 'invoices=OrderPlaced', '--event-type', 'type'],
    ...['--table', 'events'],
  ]
  const stop = new AbortController()
  const { signal } = stop
  const heard = { json: '', text: '' }
  const hear = (as: 'json' | 'text') => (out: string) => {
    heard[as] = out
  }
  const watching = shop.tidemark([...watch, '--json'], { signal, heard: hear('json') })
  const keeping = shop.tidemark([...watch, '--keep'], { signal, heard: hear('text') })
  await eventually(() => heard.json.includes('{"status"') && heard.text.includes(' looks')).toBe(true)
  const slow = await shop.session('import')
  // The consumer goes by what it sees. What falls between two looks is not told: it may take several tries.
  await eventually(async () => {
    await slow.query('begin; insert into events default values')
    await append(shop, 1)
    await shop.pool.query('update consumers set position = (select max(position) from events)')
    await shop.pool.query('select pg_sleep(0.3)')
    await slow.query('commit')
    await shop.pool.query('select pg_sleep(0.3)')
    return heard.json.includes('{"lost"') && heard.text.includes('has lost')
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
  const kept = await keeping
  expect(kept.exit).toBe(1)
  const told = kept.out.split('\n').filter((line) => line.includes('has lost'))
  const { out: status } = await shop.tidemark(['status'])
  const note = status.split('\n').find((line) => line.startsWith('- '))
  const said = [scrubbed(`${told[0]}\n`), `${note}\n`, await shop.said(['lost', '--limit', '1'])].join('\n')
  await expect(sameAfterTries(said)).toMatchFileSnapshot('golden/time/watch-lost.txt')
})

/** How many there are depends on how many tries it took, and who held them on which look met them. */
function sameAfterTries(said: string): string {
  return said
    .replaceAll(/(; it was held by| {2}pid <pid>) .*/g, '')
    .replaceAll(/\b\d+ events?\b/g, '<number> events')
    .replaceAll(/\b\d+\b/g, '<number>')
}

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
    await shop.said([...of, '--consumers', 'consumers', '--keep']),
    await shop.said([...of, '--consumers', 'consumers']),
  ]
  await expect(said.join('\n')).toMatchFileSnapshot('golden/time/watch.txt')
})

test('console serves the page until it is interrupted, to whoever has the link; with a port that is taken it says so', async () => {
  const shop = await shopOfTest()
  await append(shop, 1)
  const daemon = await shop.daemon([quiet('orders')])
  await daemon.waitUntilProjected()
  await daemon.stop()
  const stop = new AbortController()
  let link = ''
  const serving = shop.tidemark(['console'], {
    signal: stop.signal,
    heard: (out) => {
      link = /http:\S+/.exec(out)?.[0] ?? ''
    },
  })
  await eventually(() => link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?token=./)
  const url = new URL(link)
  const overview = new URL('/api/overview', url)
  expect((await fetch(overview)).status).toBe(401)
  const entered = await fetch(url, { redirect: 'manual' })
  const cookie = entered.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  expect(await (await fetch(overview, { headers: { cookie } })).text()).toContain('orders')
  const taken = await shop.tidemark(['console', '--port', url.port])
  expect(taken).toMatchObject({ exit: 2, err: expect.stringContaining('Give another --port') })
  stop.abort()
  expect(await serving).toMatchObject({ exit: 130 })
  await expect(fetch(overview)).rejects.toThrow('fetch failed')
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
