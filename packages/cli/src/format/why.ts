import {
  count,
  holderName,
  isHeldUp,
  isStanding,
  type Mark,
  type MarkHolder,
  openFor,
} from '@tidemark/console/status'
import { type Line, linesOf } from '../lines.ts'

/** Pure: whether the mark stands, and who is in the way. */
export function formatWhy(mark: Mark): readonly Line[] {
  const { holders, lookCloser } = mark
  return [
    ...where(mark),
    ...holders.flatMap((holder) => ['', ...holderLines(holder)]),
    ...(lookCloser === undefined ? [] : ['', 'To look closer, in psql:', ...linesOf(lookCloser, '    ')]),
  ]
}

function where(mark: Mark): readonly Line[] {
  const { table, head, settled, isProven, holders } = mark
  if (head === undefined || head === 0n) return [`${table} has no event yet. There is nothing to wait for.`]
  if (!isProven) {
    return [
      `Numbers of ${table} are taken ahead, outside the transactions that insert them: nothing tells who has one.`,
      `The head is ${head}. Daemons pass a gap once it is older than thresholdMs and no older transaction is open.`,
      'What they have passed: tidemark skips',
    ]
  }
  if (settled !== undefined && head <= settled) {
    return [{ text: `The mark of ${table} moves: everything up to ${head} is settled.`, tone: 'good' }]
  }
  const below = count(head - (settled ?? 0n), 'position')
  const stands = `The mark of ${table} stands at ${settled ?? 'its beginning'}: ${below} up to the head ${head} ${head - (settled ?? 0n) === 1n ? 'is' : 'are'} not settled.`
  if (!isStanding(mark)) {
    return [
      `The mark of ${table} moves: it is at ${settled ?? 'its beginning'}, ${below} below the head ${head}.`,
      'The transactions that write these are younger than 3 seconds.',
    ]
  }
  if (holders.length === 0) {
    return [
      { text: stands, tone: 'bad' },
      'Nobody is seen to hold it. A lock on the table or its sequence may keep polls from telling: tidemark doctor',
    ]
  }
  const until = `It goes on as soon as ${holders.length === 1 ? 'this transaction has' : 'these transactions have'} ended, whether by COMMIT or ROLLBACK. Nothing is lost.`
  return isHeldUp(mark)
    ? [{ text: stands, tone: 'bad' }, until]
    : [stands, 'No event waits yet: the open positions are the last ones.', until]
}

function holderLines(holder: MarkHolder): readonly Line[] {
  const { state, role, address, waitsFor, blockedBy, lastStatement, endedBy } = holder
  const from = [
    ...(role === undefined ? [] : [`as ${role}`]),
    ...(address === undefined ? [] : [`from ${address}`]),
  ].join(' ')
  const who = `Held by ${holderName(holder)}`
  return [
    {
      text: `${[who, ...(from === '' ? [] : [from]), openFor(holder)].join(', ')}${state === undefined ? '' : `, ${state}`}`,
      tone: 'strong',
    },
    ...(lastStatement === undefined
      ? []
      : [`  last statement: ${lastStatement.replaceAll(/\s+/g, ' ').trim()}`]),
    ...(waitsFor === undefined || state?.startsWith('idle') === true ? [] : [`  waits for: ${waitsFor}`]),
    ...(blockedBy.length === 0 ? [] : [`  blocked by: pid ${blockedBy.join(', ')}. Look at that one first.`]),
    `  ${adviceOn(holder)}`,
    ...(endedBy === undefined ? [] : [`    ${endedBy}`]),
  ]
}

/** What a person does about it. */
function adviceOn({ state, endedBy }: MarkHolder): string {
  if (endedBy === undefined) return 'Its coordinator has to decide: COMMIT PREPARED or ROLLBACK PREPARED.'
  if (state === 'prepared') {
    return 'Its coordinator has to decide. If you know that it was given up, run in psql (COMMIT PREPARED would keep it):'
  }
  if (state === 'active')
    return 'It works. Let it end if it can. To end it, which rolls back what it has written, run in psql:'
  return 'Ask its owner to COMMIT or ROLLBACK. To end it, which rolls back what it has written, run in psql:'
}
