import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { HttpError } from './http-error.ts'
import { acceptsGzip, SAFE_HEADERS } from './respond.ts'

interface Asset {
  readonly type: string
  readonly etag: string
  readonly plain: Buffer
  readonly packed: Buffer
}

const FOLDER = fileURLToPath(new URL('../../assets/', import.meta.url))
const PAGE = 'index.html'
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * The files of the page, by their names. They are read once: a URL names an entry of this table, and never a file.
 */
export class Assets {
  #table: ReadonlyMap<string, Asset> | undefined

  has(name: string): boolean {
    return this.#all().has(name)
  }

  send(request: IncomingMessage, response: ServerResponse, name: string = PAGE): void {
    const asset = this.#all().get(name)
    if (asset === undefined) {
      throw new HttpError(
        503,
        'NO_ASSETS',
        `The page of the console was not built: ${name} is not in ${FOLDER}`,
        ['In a clone: pnpm build. Of the package it is a part: install it again.'],
      )
    }
    const { type, etag, plain, packed } = asset
    const headers = { ...SAFE_HEADERS, 'cache-control': 'no-cache', etag, vary: 'accept-encoding' }
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, headers).end()
      return
    }
    const isPacked = acceptsGzip(request)
    const body = isPacked ? packed : plain
    response.writeHead(200, {
      ...headers,
      'content-type': type,
      'content-length': body.length,
      ...(isPacked ? { 'content-encoding': 'gzip' } : {}),
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }

  #all(): ReadonlyMap<string, Asset> {
    if (this.#table === undefined || this.#table.size === 0) this.#table = readAssets(FOLDER)
    return this.#table
  }
}

function readAssets(folder: string): ReadonlyMap<string, Asset> {
  const table = new Map<string, Asset>()
  for (const name of namesIn(folder)) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const plain = readFileSync(join(folder, name))
    const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 24)}"`
    table.set(name, { type, etag, plain, packed: gzipSync(plain, { level: 9 }) })
  }
  return table
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
