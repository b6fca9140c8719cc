import { createHmac } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { LettersAnswer, LiveMessage, SessionAnswer } from '../../packages/console/src/protocol.ts'
import { append, openShop, quiet, type Shop, shopOfTest } from '../cli/rig.ts'
import { ask, consoleOf, errorOf, openConsole, type TestConsole } from './rig.ts'

const PAUSE = { projection: 'orders', why: 'an attack' }
const MARKUP = '<img src=x onerror=alert(1)>"\'`</script>'

let shop: Shop
let console: TestConsole
beforeAll(async () => {
  shop = await openShop()
  await withOrders(shop)
  console = await openConsole(shop.pool, { actions: true })
})
afterAll(async () => {
  await console.close()
  await shop.drop()
})

/** A projection `orders` that has handled an event, and no daemon any more. */
async function withOrders(of: Shop): Promise<void> {
  await append(of, 1)
  const daemon = await of.daemon([quiet('orders')])
  await daemon.waitUntilProjected()
  await daemon.stop()
}

const isUntouched = async (): Promise<boolean> => (await shop.operations.audit()).length === 0

/** What a page of another site can make a browser send, and what no browser sends. */
const FORGED: Readonly<
  Record<string, readonly [headers: Readonly<Record<string, string>>, status: number, code: string]>
> = {
  'a page of another site': [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    403,
    'OTHER_ORIGIN',
  ],
  'a page of another port of this machine': [{ 'sec-fetch-site': 'same-site' }, 403, 'OTHER_ORIGIN'],
  'an old browser on another site': [{ origin: 'https://evil.example' }, 403, 'OTHER_ORIGIN'],
  'a page in a sandbox': [{ origin: 'null' }, 403, 'OTHER_ORIGIN'],
  'a form, which has no token': [{ 'x-tidemark-csrf': '' }, 403, 'CSRF'],
  'a guessed token': [
    { 'x-tidemark-csrf': createHmac('sha256', '').update('ann').digest('base64url') },
    403,
    'CSRF',
  ],
  'a token of another length': [{ 'x-tidemark-csrf': 'x'.repeat(4_000) }, 403, 'CSRF'],
  'a form that says it is text': [{ 'content-type': 'text/plain' }, 415, 'NOT_JSON'],
  'a form that says it is a form': [{ 'content-type': 'application/x-www-form-urlencoded' }, 415, 'NOT_JSON'],
}

describe('a request that was forged changes nothing', () => {
  test.each(Object.entries(FORGED))('%s', async (_, [headers, status, code]) => {
    const { status: found, text } = await console.post('pause', PAUSE, { headers })
    expect([found, errorOf(text).code]).toEqual([status, code])
    expect(await isUntouched()).toBe(true)
  })

  test('with the token of another viewer', async () => {
    const other = await consoleOf(shop, { actions: true, authorize: () => ({ who: 'bob' }) })
    const { csrf } = await other.get<SessionAnswer>('/api/session')
    const { status, text } = await console.post('pause', PAUSE, { headers: { 'x-tidemark-csrf': csrf } })
    expect([status, errorOf(text).code]).toEqual([403, 'CSRF'])
    expect(await isUntouched()).toBe(true)
  })

  test('while the page of the console itself may', async () => {
    const { host } = new URL(console.url)
    for (const headers of [{ 'sec-fetch-site': 'same-origin' }, { origin: `http://${host}` }]) {
      expect((await console.post('pause?dry=1', PAUSE, { headers })).status).toBe(200)
    }
  })

  test('and nothing is read for another site either', async () => {
    for (const path of ['/api/overview', '/api/live', '/api/session']) {
      const told = await console.refused(path, { headers: { 'sec-fetch-site': 'cross-site' } })
      expect(told).toMatchObject({ status: 403, code: 'OTHER_ORIGIN' })
    }
    // A link to the page may stand anywhere.
    const linked = await console.ask('/', { headers: { 'sec-fetch-site': 'cross-site' } })
    expect([200, 503]).toContain(linked.status)
  })
})

describe('whom nobody lets in', () => {
  test.each(['/', '/console.js', '/api/overview', '/api/live', '/api/session', '/api/dead-letters', '/none'])(
    'gets nothing of %s',
    async (path) => {
      const { refused } = await consoleOf(shop, { authorize: () => undefined })
      expect(await refused(path)).toMatchObject({ status: 401, code: 'NOT_AUTHORIZED' })
    },
  )

  test('is let in neither by an authorize that throws, which tells nothing of it, nor by one that says no name', async () => {
    const throwing = await consoleOf(shop, {
      authorize: () => {
        throw new Error('the secret of the session store')
      },
    })
    const { status, text } = await throwing.ask('/api/overview')
    expect([status, errorOf(text).code]).toEqual([500, 'AUTHORIZE_FAILED'])
    expect(text).not.toContain('secret')
    for (const who of ['', ' ', 'x'.repeat(256), 'a\0b', 7 as never]) {
      const nameless = await consoleOf(shop, { authorize: () => ({ who }) })
      expect(await nameless.refused('/api/overview')).toMatchObject({ status: 500, code: 'BAD_VIEWER' })
    }
  })
})

describe('a body that is not what it should be', () => {
  const WRONG: Readonly<Record<string, readonly [body: string, status: number, code: string]>> = {
    'no JSON': ['{"projection":', 400, 'BAD_JSON'],
    nothing: ['', 400, 'BAD_JSON'],
    'a list': ['[]', 400, 'BAD_JSON'],
    null: ['null', 400, 'BAD_JSON'],
    'a text': ['"orders"', 400, 'BAD_JSON'],
    'a field that is not known': [JSON.stringify({ ...PAUSE, who: 'root' }), 400, 'BAD_BODY'],
    'a prototype': [`{"projection":"orders","why":"x","__proto__":{"isAdmin":true}}`, 400, 'BAD_BODY'],
    'a constructor': [
      `{"projection":"orders","why":"x","constructor":{"prototype":{"isAdmin":true}}}`,
      400,
      'BAD_BODY',
    ],
    'all of it in a prototype': [`{"__proto__":{"projection":"orders","why":"x"}}`, 400, 'BAD_BODY'],
    'no reason': [JSON.stringify({ projection: 'orders' }), 400, 'BAD_BODY'],
    'an empty reason': [JSON.stringify({ projection: 'orders', why: ' ' }), 400, 'BAD_BODY'],
    'a very long reason': [JSON.stringify({ projection: 'orders', why: 'x'.repeat(2_001) }), 400, 'BAD_BODY'],
    'a NUL': [JSON.stringify({ projection: 'or\0ders', why: 'x' }), 400, 'BAD_BODY'],
    'an object for a name': [JSON.stringify({ projection: { toString: 'x' }, why: 'x' }), 400, 'BAD_BODY'],
    'a version that is none': [JSON.stringify({ ...PAUSE, version: 1e308 }), 400, 'BAD_BODY'],
    'very deep': [`{"projection":${'['.repeat(20_000)}${']'.repeat(20_000)},"why":"x"}`, 400, 'BAD_BODY'],
    'too large': [JSON.stringify({ ...PAUSE, more: 'x'.repeat(65_536) }), 413, 'BODY_TOO_LARGE'],
  }

  test.each(Object.entries(WRONG))(
    '%s: it is refused, and nothing is changed',
    async (_, [body, status, code]) => {
      const { status: found, text } = await console.post('pause', undefined, { body })
      expect([found, errorOf(text).code]).toEqual([status, code])
      expect(Object.hasOwn(Object.prototype, 'isAdmin')).toBe(false)
      expect(await isUntouched()).toBe(true)
    },
  )

  test('a hundred megabytes without a length are not read to the end', async () => {
    const { csrf } = await console.get<SessionAnswer>('/api/session')
    let sent = 0
    const status = await new Promise<number>((resolve, reject) => {
      const { hostname, port } = new URL(console.url)
      const sending = httpRequest(
        {
          hostname,
          port,
          path: '/api/actions/pause',
          method: 'POST',
          agent: false,
          headers: {
            'content-type': 'application/json',
            'x-tidemark-csrf': csrf,
            'transfer-encoding': 'chunked',
          },
        },
        (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
          sending.destroy()
        },
      )
      onTestFinished(() => void sending.destroy())
      // What is written to a connection that was closed.
      sending.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error)
      })
      const chunk = Buffer.alloc(64 * 1_024, 'x')
      const more = (): void => {
        if (sent > 100_000_000 || sending.destroyed) return
        sent += chunk.length
        sending.write(chunk, () => setImmediate(more))
      }
      more()
    })
    expect(status).toBe(413)
    expect(sent).toBeLessThan(50_000_000)
  })
})

describe('a path that leads elsewhere', () => {
  test.each([
    '/../package.json',
    '/..%2fpackage.json',
    '/%2e%2e/package.json',
    '/....//package.json',
    '/..\\package.json',
    '/assets/../../package.json',
    '/index.html/../../package.json',
    '//evil.example/',
    '/console.js%00.html',
    '/__proto__',
    '/constructor',
    '/api/../../package.json',
    '/api/actions/__proto__',
    '/api/dead-letters/..%2f1',
    '/api/dead-letters/1e3',
  ])('%s: there is nothing', async (path) => {
    const { status, text } = await console.ask(path)
    expect([404, 405]).toContain(status)
    expect(text).not.toContain('@tidemark/console')
  })

  test.each(['__proto__', 'constructor', 'toString', 'none'])('no action is called %s', async (name) => {
    const { status, text } = await console.post(name, PAUSE)
    expect([status, errorOf(text).code]).toEqual([404, 'NO_SUCH_ACTION'])
  })

  test('a method that a path does not have is refused', async () => {
    for (const [method, path] of [
      ['PUT', '/api/overview'],
      ['DELETE', '/'],
      ['POST', '/api/overview'],
      ['POST', '/'],
      ['OPTIONS', '/api/actions/pause'],
    ] as const) {
      expect((await console.ask(path, { method })).status).toBe(405)
    }
    expect((await console.ask('/api/actions/pause')).status).toBe(404)
  })
})

test('more requests than are allowed are refused, of that viewer alone, and a little later let in again', async () => {
  let who = 'eve'
  const limited = await consoleOf(shop, { requestsPerMinute: 20, authorize: () => ({ who }) })
  const statuses = await Promise.all(
    Array.from({ length: 60 }, async () => (await limited.ask('/api/session')).status),
  )
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(20)
  const refused = await limited.ask('/api/session')
  expect([refused.status, errorOf(refused.text).code, refused.headers['retry-after']]).toEqual([
    429,
    'TOO_MANY_REQUESTS',
    '10',
  ])
  who = 'ann'
  expect((await limited.ask('/api/session')).status).toBe(200)
})

test('every answer forbids scripts that are not its own, frames, guessing of types, and being kept', async () => {
  for (const path of ['/', '/api/overview', '/api/none', '/api/session']) {
    const { headers } = await console.ask(path)
    const csp = String(headers['content-security-policy'])
    expect(csp).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(csp).toContain("frame-ancestors 'none'")
    expect(csp).not.toContain('unsafe')
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    })
    if (path !== '/') expect(headers['cache-control']).toBe('no-store')
  }
})

test('markup in names, types, errors and reasons is sent as JSON alone', async () => {
  const shop = await shopOfTest()
  const console = await consoleOf(shop, { actions: true })
  await shop.pool.query('insert into events (type) values ($1)', [MARKUP])
  const handle = async (events: readonly Readonly<Record<string, unknown>>[]): Promise<void> => {
    if (events.some(({ type }) => type === MARKUP)) throw new TypeError(MARKUP)
  }
  const daemon = await shop.daemon([{ name: MARKUP, attempts: 1, onFailure: 'skip', handle }])
  await daemon.waitUntilProjected()
  await daemon.stop()
  expect((await console.post('pause', { projection: MARKUP, why: MARKUP })).status).toBe(200)
  const query = `projection=${encodeURIComponent(MARKUP)}`
  const answers = [
    ...[
      '/api/overview',
      '/api/dead-letters',
      `/api/projection?${query}`,
      `/api/audit?${query}`,
      '/api/dead-letters/1',
    ],
    // What is wrong is repeated in the answer.
    `/api/projection?${query}x`,
    `/api/late?source=${encodeURIComponent(MARKUP)}`,
  ]
  for (const path of answers) {
    const { headers, text } = await console.ask(path)
    expect(headers['content-type']).toBe('application/json; charset=utf-8')
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(JSON.parse(text)).toBeTypeOf('object')
    expect(text).toContain('<img src=x onerror=alert(1)>')
  }
  const { letters } = await console.get<LettersAnswer>('/api/dead-letters')
  expect(letters).toMatchObject([{ projection: MARKUP, eventTypes: [MARKUP], error: { message: MARKUP } }])
  const { overview } = await console.get<LiveMessage>('/api/overview')
  expect(overview?.problems.map(({ what }) => what).join()).toContain(MARKUP)
})

test('an error that nobody expects has no stack in its answer', async () => {
  const odd = await consoleOf(shop, {
    watches: [
      {
        status: () => {
          throw new RangeError('an odd watch')
        },
      },
    ],
  })
  const { text } = await odd.ask('/api/nodes')
  expect(errorOf(text)).toMatchObject({ code: 'UNKNOWN', message: 'an odd watch' })
  expect(text).not.toMatch(/\.(ts|js)\b/)
})

test('a request in pieces that never ends holds up nobody else', async () => {
  const { csrf } = await console.get<SessionAnswer>('/api/session')
  const { hostname, port } = new URL(console.url)
  const slow = httpRequest({
    hostname,
    port,
    path: '/api/actions/pause',
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', 'x-tidemark-csrf': csrf, 'content-length': '1000' },
  })
  slow.on('error', () => {})
  onTestFinished(() => void slow.destroy())
  slow.write('{"projection":')
  expect((await ask(`${console.url}/api/session`)).status).toBe(200)
  slow.destroy()
  expect(await isUntouched()).toBe(true)
})
