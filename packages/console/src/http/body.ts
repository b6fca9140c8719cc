import type { IncomingMessage } from 'node:http'
import { HttpError } from './http-error.ts'

/** As much as a person types, and a thousand ids of letters. */
const MOST_BYTES = 65_536

/** The body of a POST: an object of JSON. A host that has read it before (`express.json()`, Fastify) has left it at the request. */
export async function readBody(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const type = String(request.headers['content-type'] ?? '')
    .split(';')[0]
    ?.trim()
    .toLowerCase()
  if (type !== 'application/json') {
    throw new HttpError(415, 'NOT_JSON', 'The body is not said to be JSON (content-type: application/json).')
  }
  if (Number(request.headers['content-length'] ?? 0) > MOST_BYTES) throw tooLarge()
  const parsed = 'body' in request && isObject(request.body) ? request.body : parse(await textOf(request))
  if (!isObject(parsed)) throw new HttpError(400, 'BAD_JSON', 'The body is no object of JSON.')
  return parsed
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // It has to stay open for the answer, also where the rest is not read.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const piece = Buffer.from(chunk)
    bytes += piece.length
    if (bytes > MOST_BYTES) throw tooLarge()
    chunks.push(piece)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new HttpError(400, 'BAD_JSON', 'The body is no JSON.')
  }
}

const tooLarge = (): HttpError =>
  new HttpError(413, 'BODY_TOO_LARGE', `The body is larger than ${MOST_BYTES} bytes.`)

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
