import type { IncomingMessage } from 'node:http'
import { CONSOLE_DEFAULTS, type ConsoleOptions, consoleHandler, serveConsole } from '@tidemark/console'
import { InvalidOptionError, UnsupportedByStoreError } from '@tidemark/core'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import express from 'express'
import fastify from 'fastify'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { LiveMessage, SessionAnswer } from '../../packages/console/src/protocol.ts'
import { healthyShop } from '../cli/broken-shop.ts'
import type { Shop } from '../cli/rig.ts'
import { ask, errorOf, listening, optionsOn } from './rig.ts'

let shop: Shop
beforeAll(async () => {
  shop = await healthyShop()
})
afterAll(() => shop.drop())

function handlerOn(more: Partial<ConsoleOptions> = {}) {
  const handler = consoleHandler(optionsOn(shop.pool, { actions: true, ...more }))
  onTestFinished(() => handler.close())
  return handler
}

/** Each has the console at /console, and its own page at /. */
const SERVERS: Readonly<Record<string, () => Promise<string>>> = {
  'node:http': async () => {
    const handler = handlerOn({ basePath: '/console' })
    return await listening((request, response) => handler(request, response, () => response.end('the shop')))
  },
  Express: async () => {
    const app = express()
    app.use('/console', handlerOn())
    app.get('/', (_, response) => void response.send('the shop'))
    return await listening(app)
  },
  'Express, which reads JSON first': async () => {
    const app = express()
    app.use(express.json())
    app.use('/console', handlerOn())
    app.get('/', (_, response) => void response.send('the shop'))
    return await listening(app)
  },
  Fastify: async () => {
    const handler = handlerOn({ basePath: '/console' })
    const app = fastify()
    app.get('/', () => 'the shop')
    await app.register(async (part) => {
      // The console reads bodies itself.
      part.removeAllContentTypeParsers()
      part.addContentTypeParser('*', (_, __, done) => done(null))
      for (const path of ['/console', '/console/*']) {
        part.all(path, (request, reply) => handler(request.raw, reply.hijack().raw))
      }
    })
    onTestFinished(() => app.close())
    return await app.listen({ host: '127.0.0.1', port: 0 })
  },
}

describe.each(Object.entries(SERVERS))('under %s', (_, serve) => {
  test('it answers below its path, acts, and leaves the rest to the host', async () => {
    const url = await serve()
    expect((await ask(`${url}/`)).text).toBe('the shop')
    const session = await ask(`${url}/console/api/session`)
    const { who, csrf } = JSON.parse(session.text) as SessionAnswer
    expect(who).toBe('ann')
    const paused = await ask(`${url}/console/api/actions/resume?dry=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-tidemark-csrf': csrf },
      body: JSON.stringify({ projection: 'orders' }),
    })
    expect([paused.status, JSON.parse(paused.text)]).toMatchObject([200, { isNothing: true }])
    expect(errorOf((await ask(`${url}/console/none`)).text).code).toBe('NO_SUCH_PATH')
  })

  test('without the slash at its end it leads there, by a link that cannot lead elsewhere', async () => {
    const url = await serve()
    const { status, headers } = await ask(`${url}/console`)
    expect([status, headers.location]).toEqual([308, './console/'])
  })
})

describe('served by itself', () => {
  async function served(more: Partial<Parameters<typeof serveConsole>[0]> = {}) {
    const { authorize: _, ...parts } = optionsOn(shop.pool)
    const console = await serveConsole({ ...parts, ...more })
    onTestFinished(() => console.close())
    const { origin, searchParams, port } = new URL(console.url)
    return { console, origin, port, token: searchParams.get('token') ?? '' }
  }

  const cookieOf = async (url: string): Promise<string> => {
    const { status, headers } = await ask(url)
    expect([status, headers.location]).toEqual([303, './'])
    const [cookie = ''] = headers['set-cookie'] ?? []
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict$/)
    return cookie.split(';')[0] ?? ''
  }

  test('whoever has the link is let in by the cookie that it is exchanged for, in the name of who runs it', async () => {
    const { console, origin } = await served({ who: 'carla', port: 0 })
    expect(console.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{43}$/)
    const cookie = await cookieOf(console.url)
    const { text } = await ask(`${origin}/api/session`, { headers: { cookie: `other=1; ${cookie}` } })
    expect(JSON.parse(text)).toMatchObject({ who: 'carla', actions: false })
    expect(cookie).not.toContain(new URL(console.url).searchParams.get('token'))
  })

  test('without it nobody is, nor with a token or a cookie that is not quite that', async () => {
    const { origin, token, console, port } = await served()
    const cookie = await cookieOf(console.url)
    const wrong = [
      ['/api/session', {}],
      [`/?token=${token.slice(0, -1)}`, {}],
      [`/?token=${token}x`, {}],
      ['/?token=', {}],
      [`/api/session?token=${token}`, {}],
      ['/api/session', { cookie: `tidemark-console-${port}=${token}` }],
      ['/api/session', { cookie: `${cookie}x` }],
      ['/api/session', { cookie: `x${cookie}` }],
    ] as const
    for (const [path, headers] of wrong) {
      const { status, text } = await ask(`${origin}${path}`, { headers })
      expect([path, status, errorOf(text).code]).toEqual([path, 401, 'NOT_AUTHORIZED'])
    }
  })

  test('a name that somebody has pointed at this machine is refused, with the cookie too', async () => {
    const { console, origin, port } = await served()
    const cookie = await cookieOf(console.url)
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1',
      `127.0.0.1:${Number(port) + 1}`,
    ]) {
      const { status, text } = await ask(`${origin}/api/session`, { headers: { host, cookie } })
      expect([status, errorOf(text).code]).toEqual([421, 'UNKNOWN_HOST'])
    }
    const { status } = await ask(`${origin}/api/session`, { headers: { host: `localhost:${port}`, cookie } })
    expect(status).toBe(200)
  })

  test('is ended with every live page, and may be ended twice', async () => {
    const { console, origin } = await served()
    const cookie = await cookieOf(console.url)
    const live = ask(`${origin}/api/live`, { headers: { cookie } }).catch(() => 'ended')
    const { text } = await ask(`${origin}/api/overview`, { headers: { cookie } })
    expect((JSON.parse(text) as LiveMessage).overview?.healthy).toBe(true)
    await Promise.all([console.close(), console.close()])
    await live
    await expect(ask(`${origin}/api/session`)).rejects.toThrow('ECONNREFUSED')
  })

  test('a port that is taken, or none, is told', async () => {
    const { port } = await served()
    await expect(served({ port: Number(port) })).rejects.toThrow('EADDRINUSE')
    await expect(served({ port: 70_000 })).rejects.toThrow(InvalidOptionError)
    await expect(served({ who: ' ' })).rejects.toThrow(InvalidOptionError)
    await expect(served({ authorize: () => undefined } as never)).rejects.toThrow(InvalidOptionError)
  })
})

describe('options that do not fit are refused when the handler is made', () => {
  const pool = new Pool()
  afterAll(() => pool.end())
  const WRONG: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    'authorize, which nobody has given': { authorize: undefined },
    actions: { actions: 'yes' },
    showEventData: { showEventData: 1 },
    redact: { redact: 'all' },
    basePath: { basePath: 'console' },
    'basePath with a slash at its end': { basePath: '/console/' },
    'basePath that leads up': { basePath: '/..?' },
    lookEveryMs: { lookEveryMs: 1 },
    queryTimeoutMs: { queryTimeoutMs: 0 },
    requestsPerMinute: { requestsPerMinute: 0 },
    liveStreams: { liveStreams: -1 },
    watches: { watches: [{}] },
    events: { events: [{ name: 'events' }] },
    called: { called: 7 },
    pool: { pool: {} },
    checkpoints: { checkpoints: {} },
    'a misspelt one': { authorise: () => ({ who: 'ann' }) },
  }

  test.each(Object.entries(WRONG))('%s', (_, more) => {
    expect(() => consoleHandler({ ...optionsOn(pool), ...more } as ConsoleOptions)).toThrow(
      InvalidOptionError,
    )
  })

  test('a store that keeps nothing of what operators want', () => {
    const checkpoints = Object.assign(Object.create(postgresCheckpoints({ pool })), { control: undefined })
    expect(() => consoleHandler({ ...optionsOn(pool), checkpoints })).toThrow(UnsupportedByStoreError)
  })
})

test('what it takes by itself is what its page says', () => {
  expect(CONSOLE_DEFAULTS).toEqual({
    lookEveryMs: 2_000,
    queryTimeoutMs: 10_000,
    requestsPerMinute: 600,
    liveStreams: 100,
  })
})

test('authorize is given the request', async () => {
  const seen: (string | undefined)[] = []
  const authorize = ({ headers }: IncomingMessage) => {
    seen.push(headers['x-user']?.toString())
    return { who: String(headers['x-user']) }
  }
  const url = await listening(handlerOn({ authorize }))
  const { text } = await ask(`${url}/api/session`, { headers: { 'x-user': 'dora' } })
  expect((JSON.parse(text) as SessionAnswer).who).toBe('dora')
  expect(seen).toEqual(['dora'])
})
