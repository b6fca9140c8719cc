import { denseOrder, type PositionOrder } from '@tidemark/core'
import type { EsdbPosition } from './client.ts'

const POSITION = /^(0|[1-9][0-9]*)\/(0|[1-9][0-9]*)$/

/** The order of `$all`: byte offsets, so a distance is not a number of events. Its text is `commit/prepare`. */
export const allOrder: Required<Omit<PositionOrder<EsdbPosition>, 'distance'>> = {
  compare: (a, b) => denseOrder.compare(a.commit, b.commit) || denseOrder.compare(a.prepare, b.prepare),
  format: ({ commit, prepare }) => `${commit}/${prepare}`,
  parse: (text) => {
    const [, commit, prepare] = POSITION.exec(text) ?? []
    if (commit === undefined || prepare === undefined) {
      throw new TypeError(`expected a position "commit/prepare", found ${JSON.stringify(text)}`)
    }
    return { commit: BigInt(commit), prepare: BigInt(prepare) }
  },
  approximate: ({ commit }) => Number(commit),
}
