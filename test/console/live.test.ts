import { get as httpGet, type IncomingMessage } from 'node:http'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { Pool } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { LiveMessage } from '../../packages/console/src/protocol.ts'
import { healthyShop } from '../cli/broken-shop.ts'
import type { Shop } from '../cli/rig.ts'
import { ownServer } from '../support/database.ts'
import { consoleOf, consoleOn, errorOf, until } from './rig.ts'

async function shopOfTest(serverUrl?: string): Promise<Shop> {
  const shop = await healthyShop(serverUrl)
  onTestFinished(() => shop.drop())
  return shop
}

interface Stream {
  readonly status: number
  readonly messages: LiveMessage[]
  readonly isOpen: () => boolean
  readonly end: () => void
}

/** Reads server-sent events as a page does. */
async function follow(url: string): Promise<Stream> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    httpGet(`${url}/api/live`, { agent: false }, resolve).on('error', reject)
  })
  const messages: LiveMessage[] = []
  let [rest, isOpen] = ['', true]
  response.setEncoding('utf8')
  response.on('data', (text: string) => {
    const parts = (rest + text).split('\n\n')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      const [id, data] = part.split('\n')
      const message = JSON.parse(data?.replace(/^data: /, '') ?? '') as LiveMessage
      expect(id).toBe(`id: ${message.id}`)
      messages.push(message)
    }
  })
  response.on('error', () => {})
  response.on('close', () => {
    isOpen = false
  })
  const end = (): void => void response.destroy()
  onTestFinished(end)
  return { status: response.statusCode ?? 0, messages, isOpen: () => isOpen, end }
}

/** A pool that counts how often a connection of it is taken. */
function counted(shop: Shop): { readonly pool: Pool; readonly taken: () => number } {
  const pool = new Pool({ connectionString: shop.url, max: 4 })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  let taken = 0
  pool.on('acquire', () => taken++)
  return { pool, taken: () => taken }
}

describe('a live page', () => {
  test('gets the whole state again and again, each message with a later id', async () => {
    const { url } = await consoleOf(await shopOfTest())
    const { status, messages } = await follow(url)
    expect(status).toBe(200)
    await until(() => expect(messages.length).toBeGreaterThanOrEqual(3))
    for (const { overview } of messages) expect(overview?.projections).toHaveLength(2)
    const ids = messages.map(({ id }) => id)
    expect(ids).toEqual(ids.toSorted())
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('shares its looks with all others, and without any the database is left alone', async () => {
    const shop = await shopOfTest()
    const { pool, taken } = counted(shop)
    const { url } = await consoleOn(pool, { lookEveryMs: 200 })
    const streams = await Promise.all(Array.from({ length: 10 }, () => follow(url)))
    await until(() => {
      for (const { messages } of streams) expect(messages.length).toBeGreaterThanOrEqual(4)
    })
    const sets = streams.map(({ messages }) => new Set(messages.map(({ id }) => id)))
    const all = new Set(sets.flatMap((ids) => [...ids]))
    // Whoever came later has missed the first of them.
    expect(all.size).toBeLessThanOrEqual(Math.max(...sets.map(({ size }) => size)) + 2)
    for (const { end } of streams) end()
    // A look that is under way ends; then nothing begins any more.
    let before = -1
    await until(async () => {
      const now = taken()
      const isQuiet = now === before
      before = now
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect(isQuiet && taken() === now).toBe(true)
    })
  })

  test('is told when the database is away, with what was seen last, and goes on when it is back', async () => {
    const server = await ownServer()
    onTestFinished(() => server.stop())
    const shop = await shopOfTest(server.url)
    const { pool } = counted(shop)
    const { url, get } = await consoleOn(pool, { checkpoints: postgresCheckpoints({ pool }) })
    const { messages, isOpen } = await follow(url)
    await until(() => expect(messages.at(-1)?.overview?.healthy).toBe(true))
    await server.stop('immediate')
    await until(() => expect(messages.at(-1)?.failure).not.toBeNull())
    const away = messages.at(-1)
    expect(away?.failure?.message).toContain('cannot be reached')
    expect(away?.overview?.projections).toHaveLength(2)
    expect(await get<LiveMessage>('/api/overview')).toMatchObject({
      failure: { sinceMs: away?.failure?.sinceMs },
    })
    await server.start()
    await until(() => expect(messages.at(-1)).toMatchObject({ failure: null, overview: { healthy: true } }))
    expect(isOpen()).toBe(true)
  })

  test('is ended with the console', async () => {
    const { url, handler } = await consoleOf(await shopOfTest())
    const { messages, isOpen } = await follow(url)
    await until(() => expect(messages.length).toBeGreaterThan(0))
    await handler.close()
    await until(() => expect(isOpen()).toBe(false))
  })

  test('is refused where too many are live, and let in once one has ended', async () => {
    const { url, ask } = await consoleOf(await shopOfTest(), { liveStreams: 2 })
    const [first] = [await follow(url), await follow(url)]
    const { status, text } = await ask('/api/live')
    expect([status, errorOf(text).code]).toEqual([503, 'TOO_MANY_STREAMS'])
    first?.end()
    await until(async () => expect((await follow(url)).status).toBe(200))
  })
})

test('a page that asks again and again gets the same messages, and 304 where there is no newer one', async () => {
  const { ask } = await consoleOf(await shopOfTest(), { lookEveryMs: 60_000 })
  const first = await ask('/api/overview')
  expect(first.headers.etag).toBe(`"${(JSON.parse(first.text) as LiveMessage).id}"`)
  const again = await ask('/api/overview', { headers: { 'if-none-match': String(first.headers.etag) } })
  expect({ status: again.status, text: again.text }).toEqual({ status: 304, text: '' })
})
