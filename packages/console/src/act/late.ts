import type { ListedLate } from '@tidemark/core/operations'
import type { ActionName } from '../protocol.ts'
import { numbered } from '../read/evidence.ts'
import { count } from '../status/words.ts'
import type { Action } from './action.ts'

const MOST_LISTED = 1_000
const MOST_NAMED = 20
const REPROCESS_MS = 10 * 60_000

const WOULD = {
  reprocess: 'Their own handler is given them, out of their order, by a daemon that runs the projection.',
  discard: 'Nobody is given them any more.',
} as const

function action(verb: keyof typeof WOULD): Action {
  return (options, fields) => {
    const source = fields.text('source')
    const range = { from: fields.position('from'), to: fields.position('to') }
    const projections = fields.has('projections') ? fields.texts('projections', /^[^\0]{1,255}$/s) : undefined
    const of = projections === undefined ? range : { ...range, projections }
    const isMeant = ({ units }: ListedLate): boolean =>
      units.some(
        ({ unit, state }) =>
          state === 'open' && (projections === undefined || projections.includes(unit.projection)),
      )
    return {
      what: `${verb} late events of ${source} from ${range.from} to ${range.to}${projections === undefined ? '' : ` for ${projections.join(', ')}`}`,
      dry: async () => {
        const operations = await numbered(options, source)
        const late = (await operations.lateEvents({ state: 'open', ...range, limit: MOST_LISTED })).filter(
          isMeant,
        )
        const named = late
          .map(({ position }) => position)
          .slice(0, MOST_NAMED)
          .join(', ')
        return {
          would:
            late.length === 0
              ? ['No late event is open there.']
              : [`Would ${verb} ${count(late.length, 'late event')}: ${named}`, WOULD[verb]],
          isNothing: late.length === 0,
          count: late.length,
          filter: null,
        }
      },
      run: async (asker, _, signal) => {
        const operations = await numbered(options, source)
        const decided =
          verb === 'discard'
            ? await operations.discardLateEvents({ ...of, ...asker })
            : await operations.reprocess({ ...of, ...asker, timeoutMs: REPROCESS_MS, signal })
        return `${count(decided, 'late event')} ${verb === 'discard' ? 'discarded' : 'handled'}.`
      },
    }
  }
}

/** What is done about late events. */
export const LATE_ACTIONS: Readonly<Record<Extract<ActionName, 'reprocessLate' | 'discardLate'>, Action>> = {
  reprocessLate: action('reprocess'),
  discardLate: action('discard'),
}
