import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createDaemon, type Daemon, type DaemonHealth, healthHandlers } from '@tidemark/core'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import express from 'express'
import fastify from 'fastify'
import { afterEach, describe, expect, test, vi } from 'vitest'

const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

function oneDaemon(): Daemon<bigint> {
  const daemon = createDaemon({
    source: inMemoryEvents<unknown>(),
    checkpoints: inMemoryCheckpoints(),
    projections: [{ name: 'all', handle: () => {} }],
  })
  closing.push(() => daemon.stop())
  return daemon
}

/** What health() would say, without a daemon. */
function saying(health: Partial<DaemonHealth>) {
  return { health: () => health as DaemonHealth }
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => server.close(resolve)))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function ask(url: string, method = 'GET') {
  const response = await fetch(url, { method, headers: { connection: 'close' } })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text }
}

/** node:http as it is, and what Nest uses below: Express or Fastify. */
const SERVERS: Record<string, (daemon: Pick<Daemon<bigint>, 'health'>) => Promise<string>> = {
  'node:http': async (daemon) => {
    const { live, ready } = healthHandlers(daemon)
    const route: RequestListener = (request, response) => {
      if (request.url === '/health/live') live(request, response)
      else if (request.url === '/health/ready') ready(request, response)
      else response.writeHead(404).end()
    }
    return await listening(createServer(route))
  },
  Express: async (daemon) => {
    const { live, ready } = healthHandlers(daemon)
    const app = express()
    app.get('/health/live', live)
    app.get('/health/ready', ready)
    return await listening(createServer(app))
  },
  Fastify: async (daemon) => {
    const { live, ready } = healthHandlers(daemon)
    const app = fastify()
    app.get('/health/live', (request, reply) => live(request.raw, reply.hijack().raw))
    app.get('/health/ready', (request, reply) => ready(request.raw, reply.hijack().raw))
    closing.push(() => app.close())
    return await app.listen({ host: '127.0.0.1', port: 0 })
  },
}

describe.each(Object.entries(SERVERS))('under %s', (_, serve) => {
  test('a daemon answers 503 before its start, 200 while it works, 503 for ready and 200 for live after its stop', async () => {
    const daemon = oneDaemon()
    const url = await serve(daemon)
    expect(await ask(`${url}/health/ready`)).toMatchObject({ status: 503 })
    expect(await ask(`${url}/health/live`)).toMatchObject({ status: 200 })
    await daemon.start()
    await vi.waitUntil(() => daemon.health().ready)
    for (const probe of ['live', 'ready']) {
      const { status, headers, text } = await ask(`${url}/health/${probe}`)
      expect(status).toBe(200)
      expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
      expect(headers.get('cache-control')).toBe('no-store')
      expect(JSON.parse(text)).toMatchObject({
        live: true,
        ready: true,
        reasons: [],
        mark: { status: 'idle' },
        projections: [{ name: 'all', status: 'ok' }],
      })
      expect(await ask(`${url}/health/${probe}`, 'HEAD')).toMatchObject({
        status: 200,
        text: '',
      })
    }
    await daemon.stop()
    expect(await ask(`${url}/health/ready`)).toMatchObject({ status: 503 })
    expect(await ask(`${url}/health/live`)).toMatchObject({ status: 200 })
  })

  test('one that needs a restart answers 503 to both', async () => {
    const url = await serve(saying({ live: false, ready: false, reasons: ['start() was refused'] }))
    expect(await ask(`${url}/health/live`)).toMatchObject({ status: 503 })
    expect(await ask(`${url}/health/ready`)).toMatchObject({ status: 503 })
  })

  test('an error inside is 500, and tells nothing of itself', async () => {
    const broken = {
      health: () => {
        throw new Error('secret')
      },
    }
    const url = await serve(broken)
    for (const probe of ['live', 'ready']) {
      const { status, text } = await ask(`${url}/health/${probe}`)
      expect(status).toBe(500)
      expect(JSON.parse(text)).toEqual({ reasons: ['the health could not be computed'] })
    }
  })
})

test('an answer that was sent already, or whose socket is gone, throws nothing into the server', () => {
  const { live } = healthHandlers(saying({ live: true, ready: true, reasons: [] }))
  const gone = {
    statusCode: 0,
    setHeader: () => {
      throw new Error('headers were sent')
    },
    end: () => {
      throw new Error('the socket is gone')
    },
  }
  expect(() => live({}, gone)).not.toThrow()
})

test('what is no daemon, and thresholds that cannot work, are refused when the handlers are made', () => {
  expect(() => healthHandlers({} as never)).toThrow('daemon: expected a Daemon, found an object')
  const daemon = saying({})
  expect(() => healthHandlers(daemon, { stalledAfterMs: 0 })).toThrow(
    'stalledAfterMs: expected a number above 0',
  )
  expect(() => healthHandlers(daemon, { stalledAfter: 1 } as never)).toThrow('laggingAfterMs, stalledAfterMs')
})
