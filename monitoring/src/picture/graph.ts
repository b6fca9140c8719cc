import { scaleLinear } from 'd3-scale'
import { line as lineOf } from 'd3-shape'
import type { Box } from './number.ts'
import type { Point, TimeRange } from './prometheus.ts'
import type { FilledPanel } from './row.ts'
import { tag, text, widthOf } from './svg.ts'
import { THEME } from './theme.ts'

const AXIS_WIDTH = 44
const AXIS_HEIGHT = 18
const LEGEND_HEIGHT = 22
const LEGEND_SIZE = 11
const SWATCH = 14
const TICKS_OF_VALUES = 4
const TICKS_OF_TIME = 6
/** Further apart, there was no sample in between: the line is broken there. */
const JOINED_SECONDS = 1.5

/** Lines over time, with a legend below. */
export function drawGraph(
  { lines, unit }: FilledPanel,
  { x, y, width, height }: Box,
  { start, end }: TimeRange,
  colorOf: (legend: string) => string,
): string {
  const right = x + width
  const bottom = y + height - AXIS_HEIGHT - LEGEND_HEIGHT
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value)))
  const toY = scaleLinear([0, most > 0 ? most : 1], [bottom, y]).nice(TICKS_OF_VALUES)
  const toX = scaleLinear([0, end - start], [x + AXIS_WIDTH, right])
  const inThousands = toY.tickFormat(TICKS_OF_VALUES, '~s')
  const formatted = (value: number): string => {
    if (unit === 's') return `${value} s`
    return value === 0 ? '0' : inThousands(value)
  }
  const axis = { fill: THEME.muted, 'font-size': 11 }
  const values = toY.ticks(TICKS_OF_VALUES).map((value) => {
    const at = toY(value)
    return [
      tag('line', { x1: x + AXIS_WIDTH, x2: right, y1: at, y2: at, stroke: THEME.grid }),
      text(formatted(value), {
        ...axis,
        x: x + AXIS_WIDTH - 6,
        y: at + 4,
        'text-anchor': 'end',
      }),
    ].join('')
  })
  const times = toX
    .ticks(TICKS_OF_TIME)
    .map((seconds) =>
      text(`${seconds} s`, { ...axis, x: toX(seconds), y: bottom + 15, 'text-anchor': 'middle' }),
    )
  const path = lineOf<Point>(
    ([seconds]) => toX(seconds - start),
    ([, value]) => toY(value),
  ).digits(1)
  const drawn = lines.map(({ legend, points }) =>
    tag('path', {
      d: runsOf(points)
        .map((run) => path(run) ?? '')
        .join(''),
      fill: 'none',
      stroke: colorOf(legend),
      'stroke-width': 1.5,
      'stroke-linejoin': 'round',
    }),
  )
  return [...values, ...times, ...drawn, ...legendOf(lines, x, y + height - 6, colorOf)].join('')
}

function legendOf(
  lines: FilledPanel['lines'],
  x: number,
  y: number,
  colorOf: (legend: string) => string,
): readonly string[] {
  let left = x
  return lines.map(({ legend }) => {
    const at = left
    left += SWATCH + 6 + widthOf(legend, LEGEND_SIZE) + 12
    return [
      tag('rect', { x: at, y: y - 5, width: SWATCH, height: 3, rx: 1.5, fill: colorOf(legend) }),
      text(legend, { x: at + SWATCH + 6, y, fill: THEME.text, 'font-size': LEGEND_SIZE }),
    ].join('')
  })
}

function runsOf(points: readonly Point[]): Point[][] {
  const runs: Point[][] = []
  for (const point of points) {
    const run = runs.at(-1)
    const before = run?.at(-1)
    if (run && before && point[0] - before[0] <= JOINED_SECONDS) run.push(point)
    else runs.push([point])
  }
  return runs
}
