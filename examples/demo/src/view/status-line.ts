import { duration } from './format.ts'
import { oneLine } from './frame.ts'
import type { Snapshot } from './snapshot.ts'

/** One line a second, for what is no terminal. */
export function statusLine(snapshot: Snapshot): string {
  const { gaps, holders, projections, troubleCount, troubles } = snapshot
  const longest = holders[0]
  const held = longest ? ` held by ${holders.length}, ${longest.name} ${duration(longest.openForMs)}` : ''
  const parts = [
    `${snapshot.elapsedSeconds.toFixed(0).padStart(3)} s  ${snapshot.phase}`,
    `appended ${snapshot.appended} (${snapshot.appendedPerSecond}/s)`,
    `head ${snapshot.head ?? '-'} settled ${snapshot.settled ?? '-'} mark ${snapshot.mark ?? '-'}`,
    `gaps ${gaps.length}${held}`,
    ...projections.map(
      ({ name, position, lag, perSecond, state, skipped }) =>
        `${name} ${position ?? '-'} lag ${lag ?? '-'} ${perSecond}/s ${state}${skipped > 0n ? ` skipped ${skipped}` : ''}`,
    ),
    ...(troubleCount > 0 ? [`errors ${troubleCount}: ${oneLine(troubles.at(-1))}`] : []),
  ]
  return parts.join(' | ')
}
