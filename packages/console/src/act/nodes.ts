import { unitName } from '@tidemark/core/adapter'
import type { ListedNode } from '@tidemark/core/operations'
import { HttpError } from '../http/http-error.ts'
import type { ActionName } from '../protocol.ts'
import { count } from '../status/words.ts'
import type { Action } from './action.ts'

type Name = Extract<ActionName, 'drainNode' | 'cordonNode' | 'openNode'>

interface Wish {
  readonly verb: 'drain' | 'cordon' | 'open'
  readonly desired: ListedNode['desired']
  readonly would: (has: string) => string
  readonly done: string
}

const WISHES: Readonly<Record<Name, Wish>> = {
  drainNode: {
    verb: 'drain',
    desired: 'draining',
    would: (has) =>
      `would give back what it has (${has}), each after the batch at hand, and be given no more. Others go on.`,
    done: 'gives back what it has, and is given no more',
  },
  cordonNode: {
    verb: 'cordon',
    desired: 'cordoned',
    would: (has) => `would keep what it has (${has}), and be given no more.`,
    done: 'keeps what it has, and is given no more',
  },
  openNode: {
    verb: 'open',
    desired: 'open',
    would: (has) => `would take part again as the others do. It has: ${has}.`,
    done: 'takes part again as the others do',
  },
}

function wish({ verb, desired, would, done }: Wish): Action {
  return ({ operations: { nodes } }, fields) => {
    const node = fields.text('node')
    return {
      what: `${verb} ${node}`,
      dry: async () => {
        const meant = (await nodes.list()).filter(({ id, name }) => id === node || name === node)
        if (meant.length === 0) {
          throw new HttpError(404, 'TIDEMARK_NODE_UNKNOWN', `There is no node ${JSON.stringify(node)}.`)
        }
        const changed = meant.filter((of) => of.desired !== desired)
        const lines = changed.map(
          (of) => `${of.name} ${would(of.units.map(unitName).join(', ') || 'nothing')}`,
        )
        return {
          would: lines.length === 0 ? ['Nothing would change: it is so already.'] : lines,
          isNothing: lines.length === 0,
          count: null,
          filter: null,
        }
      },
      run: async (asker) => {
        const { outcome, entries } = await nodes[verb]({ node, ...asker })
        if (outcome === 'already') return `${node}: it was so already. Nothing was changed.`
        const runs = entries.reduce((sum, of) => sum + of.runs.length, 0)
        return `${node} ${done}: ${count(runs, 'run')} of it.`
      },
    }
  }
}

/** What is done to nodes. */
export const NODE_ACTIONS: Readonly<Record<Name, Action>> = {
  drainNode: wish(WISHES.drainNode),
  cordonNode: wish(WISHES.cordonNode),
  openNode: wish(WISHES.openNode),
}
