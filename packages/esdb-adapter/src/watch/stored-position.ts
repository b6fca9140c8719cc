import type { EsdbPosition } from '../client.ts'
import { isInLog } from '../position.ts'

const NUMBER = /^(0|[1-9][0-9]{0,18})$/
const PAIR = /^(?:C:)?([0-9]{1,19})\/(?:P:)?([0-9]{1,19})$/

/** The revision that a checkpoint says; `undefined` where it says none. */
export function storedRevision(stored: unknown): bigint | undefined {
  if (typeof stored === 'bigint') return stored >= 0n ? stored : undefined
  if (typeof stored === 'number')
    return Number.isSafeInteger(stored) && stored >= 0 ? BigInt(stored) : undefined
  return typeof stored === 'string' && NUMBER.test(stored) ? BigInt(stored) : undefined
}

/** The position in `$all` that a checkpoint says. A number alone is both offsets, as of all events of today's servers. */
export function storedAllPosition(stored: unknown): EsdbPosition | undefined {
  const position = readPair(stored)
  return position && isInLog(position) ? position : undefined
}

function readPair(stored: unknown): EsdbPosition | undefined {
  if (typeof stored === 'object' && stored !== null && 'commit' in stored && 'prepare' in stored) {
    return pairOf(storedRevision(stored.commit), storedRevision(stored.prepare))
  }
  const [, commit, prepare] = (typeof stored === 'string' && PAIR.exec(stored)) || []
  if (commit !== undefined && prepare !== undefined) return pairOf(BigInt(commit), BigInt(prepare))
  const offset = storedRevision(stored)
  return pairOf(offset, offset)
}

function pairOf(commit: bigint | undefined, prepare: bigint | undefined): EsdbPosition | undefined {
  return commit === undefined || prepare === undefined ? undefined : { commit, prepare }
}

/** What an event's data says: its field, or all of it. `undefined` where it has no such field. */
export function storedIn(data: unknown, field: string | undefined): unknown {
  const value = data instanceof Uint8Array ? parseJson(Buffer.from(data).toString('utf8')) : data
  if (field === undefined) return value
  return typeof value === 'object' && value !== null && Object.hasOwn(value, field)
    ? (value as Readonly<Record<string, unknown>>)[field]
    : undefined
}

/** What is no JSON stays a text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
