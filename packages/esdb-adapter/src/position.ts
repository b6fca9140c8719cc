import { denseOrder, type PositionOrder } from '@tidemark/core/adapter'
import type { EsdbPosition } from './client.ts'

const POSITION = /^(0|[1-9][0-9]*)\/(0|[1-9][0-9]*)$/

/**
 * The greatest offset there is (int64). Servers from 24.2 to 24.10.3 give 2^64 - 1 as the checkpoint of a filter that has
 * matched nothing since the start (Position.FromInt64 of -1): whoever begins there is never given an event.
 */
const LAST_OFFSET = 2n ** 63n - 1n

/** Whether an event can stand there; events read from a stream may not know where they stand. */
export function isInLog({ commit, prepare }: EsdbPosition): boolean {
  return commit <= LAST_OFFSET && prepare <= LAST_OFFSET
}

/** The order of `$all`: byte offsets, so a distance is not a number of events. Its text is `commit/prepare`. */
export const allOrder: Required<Omit<PositionOrder<EsdbPosition>, 'distance'>> = {
  compare: (a, b) => denseOrder.compare(a.commit, b.commit) || denseOrder.compare(a.prepare, b.prepare),
  format: ({ commit, prepare }) => `${commit}/${prepare}`,
  parse: (text) => {
    const [, commit, prepare] = POSITION.exec(text) ?? []
    if (commit === undefined || prepare === undefined) {
      throw new TypeError(`expected a position "commit/prepare", found ${JSON.stringify(text)}`)
    }
    const position = { commit: BigInt(commit), prepare: BigInt(prepare) }
    if (!isInLog(position)) {
      throw new TypeError(`expected a position in $all, found ${text}: no event ever stands there`)
    }
    return position
  },
  approximate: ({ commit }) => Number(commit),
}
