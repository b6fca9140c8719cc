import { createServer, type IncomingHttpHeaders, type RequestListener, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { type ConsoleHandler, type ConsoleOptions, consoleHandler } from '@tidemark/console'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { onTestFinished, vi } from 'vitest'
import type {
  ActionBodies,
  ActionName,
  DryAnswer,
  ErrorAnswer,
  Job,
  SessionAnswer,
} from '../../packages/console/src/protocol.ts'
import type { Shop } from '../cli/rig.ts'

/** Waits for a state. */
export const until = <T>(look: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(look, { timeout: 30_000, interval: 50 })

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export interface Asking {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** One request, with no header but these. */
export function ask(url: string, { method = 'GET', headers = {}, body }: Asking = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    // Not what URL makes of it: some of these are attacks.
    const path = url.slice(url.indexOf('/', 'http://'.length))
    const asked = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const sent = Buffer.concat(chunks)
        const isPacked = response.headers['content-encoding'] === 'gzip'
        const text = (isPacked ? gunzipSync(sent) : sent).toString('utf8')
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
      })
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

async function openServer(
  listener: RequestListener,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Listens until the end of the test; its address. */
export async function listening(listener: RequestListener): Promise<string> {
  const { url, close } = await openServer(listener)
  onTestFinished(close)
  return url
}

export interface TestConsole {
  readonly url: string
  readonly handler: ConsoleHandler
  readonly close: () => Promise<void>
  readonly ask: (path: string, asking?: Asking) => Promise<Answer>
  /** What a route answers with 200. */
  readonly get: <T>(path: string) => Promise<T>
  readonly refused: (
    path: string,
    asking?: Asking,
  ) => Promise<ErrorAnswer['error'] & { readonly status: number }>
  /** As the page does it. */
  readonly post: (name: string, body: unknown, asking?: Asking) => Promise<Answer>
  readonly act: <N extends ActionName>(name: N, body: ActionBodies[N]) => Promise<Job>
  readonly dry: <N extends ActionName>(name: N, body: Omit<ActionBodies[N], 'why'>) => Promise<DryAnswer>
}

/** What the options are where a test does not say otherwise. */
export function optionsOn(pool: Pool, more: Partial<ConsoleOptions> = {}): ConsoleOptions {
  return {
    pool,
    checkpoints: postgresCheckpoints({ pool }),
    events: { table: 'events', eventType: 'type' },
    authorize: () => ({ who: 'ann' }),
    lookEveryMs: 100,
    ...more,
  }
}

/** A console by itself on node:http, until the end of the test. */
export async function consoleOn(pool: Pool, more: Partial<ConsoleOptions> = {}): Promise<TestConsole> {
  const console = await openConsole(pool, more)
  onTestFinished(() => console.close())
  return console
}

/** The same, until it is closed. */
export async function openConsole(pool: Pool, more: Partial<ConsoleOptions> = {}): Promise<TestConsole> {
  const handler = consoleHandler(optionsOn(pool, more))
  const { url, close } = await openServer(handler)
  const asked = (path: string, asking?: Asking): Promise<Answer> => ask(`${url}${path}`, asking)
  const get = async <T>(path: string): Promise<T> => {
    const { status, text } = await asked(path)
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`)
    return JSON.parse(text) as T
  }
  const post = async (
    name: string,
    body: unknown,
    { headers = {}, ...asking }: Asking = {},
  ): Promise<Answer> => {
    const { csrf } = await get<SessionAnswer>('/api/session')
    return await asked(`/api/actions/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-tidemark-csrf': csrf, ...headers },
      body: JSON.stringify(body),
      ...asking,
    })
  }
  return {
    url,
    handler,
    close: async () => {
      await handler.close()
      await close()
    },
    ask: asked,
    get,
    post,
    refused: async (path, asking) => {
      const { status, text } = await asked(path, asking)
      return { status, ...errorOf(text) }
    },
    act: async (name, body) => {
      const { status, text } = await post(name, body)
      if (status >= 400) throw new Error(`${name}: ${status} ${text}`)
      return (JSON.parse(text) as { readonly job: Job }).job
    },
    dry: async (name, body) => {
      const { status, text } = await post(`${name}?dry=1`, body)
      if (status !== 200) throw new Error(`${name}: ${status} ${text}`)
      return JSON.parse(text) as DryAnswer
    },
  }
}

export const consoleOf = (shop: Shop, more: Partial<ConsoleOptions> = {}): Promise<TestConsole> =>
  consoleOn(shop.pool, more)

export function errorOf(text: string): ErrorAnswer['error'] {
  return (JSON.parse(text) as ErrorAnswer).error
}
