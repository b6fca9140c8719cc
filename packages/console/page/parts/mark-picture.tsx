import type { JSX } from 'preact'
import type { GapSeen } from '../pure/gaps.ts'
import { type History, shownFromMs } from '../pure/history.ts'
import { areaPath, type Frame, linePath, xOf, yOf } from '../pure/line.ts'
import type { MarkPast } from '../pure/past.ts'
import { local } from '../pure/times.ts'
import { duration, listed, number } from '../pure/words.ts'

const WIDTH = 1_000
const HEIGHT = 150
const LEAST_GAP_PX = 4

/** Head, settled and mark over the last minutes, and each gap for as long as it was open. */
export function MarkPicture({
  past,
  nowMs,
  source,
}: {
  readonly past: MarkPast
  readonly nowMs: number
  readonly source: string
}): JSX.Element {
  const values = [past.head, past.settled, past.mark].flat().map(({ value }) => value)
  const frame: Frame = {
    width: WIDTH,
    height: HEIGHT,
    fromMs: shownFromMs([past.head, past.settled, past.mark], nowMs),
    toMs: nowMs,
    least: Math.min(...values),
    most: Math.max(...values),
  }
  if (values.length === 0) return <p class="muted">No position was seen yet.</p>
  return (
    <div class="frame">
      <div class="scale">
        <span>position {number(frame.most)}</span>
      </div>
      <svg
        viewBox={`0 -4 ${WIDTH} ${HEIGHT + 8}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={words(past, source)}
      >
        <line class="grid" x1="0" x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
        <line class="grid" x1="0" x2={WIDTH} y1="0" y2="0" />
        <path class="waiting" d={areaPath(past.head, past.settled, frame)} />
        <g class="lines">
          <path class="head" d={linePath(past.head, frame)} />
          <path class="settled" d={linePath(past.settled, frame)} />
          <path class="at" d={linePath(past.mark, frame)} />
        </g>
        {past.gaps.map((gap) => (
          <Gap key={`${gap.from}-${gap.to}-${gap.openedAtMs}`} gap={gap} frame={frame} />
        ))}
      </svg>
      <div class="scale">
        <span>
          {number(frame.least)} · {duration(nowMs - frame.fromMs)} ago
        </span>
        <span>now</span>
      </div>
    </div>
  )
}

function Gap({ gap, frame }: { readonly gap: GapSeen; readonly frame: Frame }): JSX.Element | null {
  const toX = xOf(gap.closedAtMs ?? frame.toMs, frame)
  if (toX < 0) return null
  const fromX = Math.max(0, xOf(gap.openedAtMs, frame))
  const [top, bottom] = [yOf(gap.to, frame), yOf(gap.from - 1, frame)]
  return (
    <rect
      class="space"
      x={fromX}
      y={Math.max(0, top)}
      width={Math.max(LEAST_GAP_PX, toX - fromX)}
      height={Math.max(LEAST_GAP_PX, Math.min(HEIGHT, bottom) - Math.max(0, top))}
    >
      <title>{gapWords(gap, frame.toMs)}</title>
    </rect>
  )
}

export function gapWords({ from, to, openedAtMs, closedAtMs, holders }: GapSeen, nowMs: number): string {
  const where = from === to ? `Position ${number(from)}` : `Positions ${number(from)} to ${number(to)}`
  const who = holders.length === 0 ? '' : `; could be filled by ${listed(holders)}`
  const since = local(openedAtMs, nowMs)
  return closedAtMs === undefined
    ? `${where}: open since ${since}, for ${duration(nowMs - openedAtMs)}${who}`
    : `${where}: open at ${since} for ${duration(closedAtMs - openedAtMs)}${who}`
}

function words({ head, settled, mark, gaps }: MarkPast, source: string): string {
  const at = (history: History): string => number(history.at(-1)?.value ?? 0)
  const open = gaps.filter(({ closedAtMs }) => closedAtMs === undefined).length
  return `The last minutes of ${source}: head ${at(head)}, settled ${at(settled)}, mark ${at(mark)}, ${open} gaps open`
}
