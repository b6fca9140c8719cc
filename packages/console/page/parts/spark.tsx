import type { JSX } from 'preact'
import type { History } from '../pure/history.ts'
import { linePath } from '../pure/line.ts'
import { duration, number } from '../pure/words.ts'

const WIDTH = 120
const HEIGHT = 24

/** A small line of the last minutes, from 0 up. Said in words too. */
export function Spark({
  history,
  what,
  fromMs,
  nowMs,
  isWide = false,
}: {
  readonly history: History
  readonly what: string
  readonly fromMs: number
  readonly nowMs: number
  readonly isWide?: boolean
}): JSX.Element {
  const most = Math.max(1, ...history.map(({ value }) => value))
  const frame = {
    width: WIDTH,
    height: HEIGHT - 2,
    fromMs,
    toMs: nowMs,
    least: 0,
    most,
  }
  const first = history[0]
  const words =
    first === undefined
      ? `${what}: nothing seen yet`
      : `${what} over the last ${duration(nowMs - first.atMs)}: at most ${number(most)}, now ${number(history.at(-1)?.value ?? 0)}`
  return (
    <svg
      class={isWide ? 'spark wide' : 'spark'}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={words}
    >
      <title>{words}</title>
      <path d={linePath(history, frame)} transform="translate(0 1)" />
    </svg>
  )
}
