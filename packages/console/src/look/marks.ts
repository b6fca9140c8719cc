import type { Holder, Mark } from '../protocol.ts'
import type { MarkHolder } from '../status/mark.ts'
import { holderName, isHeldUp } from '../status/mark-problem.ts'
import type { SourceSnapshot } from '../status/snapshot.ts'
import { textOf } from './wire.ts'

const MOST_GAPS = 100

/** The mark of a source, as the page is told it; pure. `withStatements`: what holders have sent last may be shown. */
export function markOf({ source, mark, unknown }: SourceSnapshot, withStatements: boolean): Mark {
  if (mark === undefined) return { ...NOTHING, source, unknown: unknown ?? 'it was not read' }
  return {
    source,
    table: mark.table,
    unknown: null,
    isProven: mark.isProven,
    stands: isHeldUp(mark),
    head: textOf(mark.head),
    settled: textOf(mark.settled),
    mark: textOf(mark.mark),
    gaps: mark.gaps.slice(0, MOST_GAPS).map(({ from, to }) => ({ from: String(from), to: String(to) })),
    gapsCount: mark.gaps.length,
    holders: mark.holders.map((holder) => holderOf(holder, withStatements)),
    lookCloser: mark.lookCloser ?? null,
  }
}

const NOTHING: Omit<Mark, 'source' | 'unknown'> = {
  table: null,
  isProven: false,
  stands: false,
  head: null,
  settled: null,
  mark: null,
  gaps: [],
  gapsCount: 0,
  holders: [],
  lookCloser: null,
}

function holderOf(holder: MarkHolder, withStatements: boolean): Holder {
  const { transaction, pid, applicationName, role, address, state, openForMs, isAgeLeast } = holder
  return {
    name: holderName(holder),
    transaction,
    pid: pid ?? null,
    applicationName: applicationName ?? null,
    role: role ?? null,
    address: address ?? null,
    state: state ?? null,
    openForMs: openForMs === undefined ? null : Math.round(openForMs),
    isAgeLeast,
    waitsFor: holder.waitsFor ?? null,
    blockedBy: holder.blockedBy,
    lastStatement: withStatements ? (holder.lastStatement ?? null) : null,
    endedBy: holder.endedBy ?? null,
  }
}
