import type { ConsumerCheckpoint } from '@tidemark/core/adapter'

const POSITION = /^-?\d{1,19}$/
const PAIR = /^(\d{1,20}):(\d{1,19})$/

/**
 * What a stored text says: `42`, zero-padded or not; `transaction:position`, as Emmett 0.43 writes; an object with `index` and
 * `gaps`, as Axon's tokens are in JSON. `undefined` for anything else.
 */
export function parseCheckpoint(text: string): ConsumerCheckpoint | undefined {
  if (POSITION.test(text)) return { kind: 'position', position: BigInt(text) }
  const [, transaction, position] = PAIR.exec(text) ?? []
  if (transaction !== undefined && position !== undefined) {
    return { kind: 'pair', transaction: BigInt(transaction), position: BigInt(position) }
  }
  return text.startsWith('{') ? parseGaps(text) : undefined
}

function parseGaps(text: string): ConsumerCheckpoint | undefined {
  const token = parseJson(text)
  if (typeof token !== 'object' || token === null || !('index' in token) || !('gaps' in token))
    return undefined
  const { index, gaps } = token
  if (!Number.isSafeInteger(index) || !Array.isArray(gaps) || !gaps.every(Number.isSafeInteger))
    return undefined
  return { kind: 'gaps', position: BigInt(index as number), gaps: gaps.map(BigInt) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
