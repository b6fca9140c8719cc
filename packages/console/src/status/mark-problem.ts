import { type Mark, type MarkHolder, STALE_AFTER_MS } from './mark.ts'
import type { Problem } from './problem.ts'
import { count, duration } from './words.ts'

/** Whether positions are handed out that are neither visible nor proven empty, and that will not pass in a moment; pure. */
export function isStanding({ isProven, head, settled, holders }: Mark): boolean {
  if (!isProven || head === undefined || (settled !== undefined && head <= settled)) return false
  return holders.length === 0 || holders.some(isOld)
}

/** Whether an event waits for that too. A gap at the head holds nobody up. */
export function isHeldUp(mark: Mark): boolean {
  const [lowest] = mark.gaps
  return isStanding(mark) && (lowest === undefined || mark.head === undefined || lowest.to < mark.head)
}

const isOld = ({ openForMs }: MarkHolder): boolean => openForMs !== undefined && openForMs >= STALE_AFTER_MS

export function markProblem(mark: Mark): Problem {
  const { source, settled, head = 0n, holders } = mark
  const waiting = head - (settled ?? 0n)
  const where = `The mark of ${source} stands at ${settled ?? 'its beginning'}, ${count(waiting, 'position')} below the head`
  const [first] = [...holders].sort((a, b) => (b.openForMs ?? 0) - (a.openForMs ?? 0))
  if (first === undefined) {
    return {
      code: 'mark_stands',
      what: `${where}, and nobody is seen to hold it.`,
      next: ['tidemark why', 'tidemark doctor'],
    }
  }
  const others = holders.length > 1 ? `, and ${holders.length - 1} more` : ''
  return {
    code: 'mark_stands',
    what: `${where}: ${holderName(first)}${others} may still fill a gap${ageOf(first)}.`,
    next: ['tidemark why'],
  }
}

/** `pid 4116 (importer)`, `the prepared transaction 'x'` */
export function holderName({ pid, gid, transaction, applicationName }: MarkHolder): string {
  if (pid === undefined) return `the prepared transaction ${gid === undefined ? transaction : `'${gid}'`}`
  return `pid ${pid}${applicationName === undefined ? '' : ` (${applicationName})`}`
}

function ageOf(holder: MarkHolder): string {
  const { state } = holder
  const age = `, ${openFor(holder)}`
  return state === undefined || state === 'prepared' ? age : `${age}, ${state}`
}

/** `open for 12 min` */
export function openFor({ openForMs, isAgeLeast }: MarkHolder): string {
  if (openForMs === undefined) return 'open for a time that this role may not see'
  return `open for ${isAgeLeast ? 'at least ' : ''}${duration(openForMs)}`
}
