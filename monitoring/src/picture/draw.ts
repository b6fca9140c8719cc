import { drawGraph } from './graph.ts'
import { drawNumbers } from './number.ts'
import type { TimeRange } from './prometheus.ts'
import type { FilledPanel } from './row.ts'
import { describe, escaped, tag, text } from './svg.ts'
import { lineColors, THEME } from './theme.ts'

/** Of one of the 24 columns of the dashboard's grid, and of one step of its height. */
const COLUMN = 40
const STEP = 22
const COLUMNS = 24
const GAP = 4
const HEADING = 40
const TITLE = 28
const PADDING = 10

/**
 * A row of the dashboard as SVG, in the places of its grid. Each panel has its queries as its description, so that a test sees
 * from which dashboard the picture was made.
 */
export function drawRow(title: string, panels: readonly FilledPanel[], range: TimeRange): string {
  const top = Math.min(...panels.map(({ grid }) => grid.y))
  const bottom = Math.max(...panels.map(({ grid }) => grid.y + grid.h))
  const width = COLUMNS * COLUMN + 2 * GAP
  const height = HEADING + (bottom - top) * STEP + GAP
  const graphs = panels.filter(({ kind }) => kind === 'graph')
  const colorOf = lineColors(graphs.flatMap(({ lines }) => lines.map(({ legend }) => legend)))
  const svg = tag(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: 'img',
      'font-family': THEME.font,
    },
    tag('title', {}, escaped(title)),
    tag('rect', { width, height, rx: 6, fill: THEME.page }),
    text(`▾ ${title}`, { x: 14, y: 26, fill: THEME.text, 'font-size': 16, 'font-weight': 600 }),
    ...panels.map((panel) => drawPanel(panel, top, range, colorOf)),
  )
  return `${svg.replaceAll('><', '>\n<')}\n`
}

function drawPanel(
  panel: FilledPanel,
  top: number,
  range: TimeRange,
  colorOf: (legend: string) => string,
): string {
  const { title, grid, queries, lines, kind, whenEmpty } = panel
  const x = GAP + grid.x * COLUMN + GAP
  const y = HEADING + (grid.y - top) * STEP
  const width = grid.w * COLUMN - 2 * GAP
  const height = grid.h * STEP - 2 * GAP
  const inside = {
    x: x + PADDING,
    y: y + TITLE + PADDING,
    width: width - 2 * PADDING,
    height: height - TITLE - PADDING,
  }
  const shown = lines.some(({ points }) => points.length > 0)
  const empty = (): string =>
    text(whenEmpty, {
      x: x + width / 2,
      y: y + TITLE / 2 + height / 2,
      fill: THEME.muted,
      'font-size': 13,
      'text-anchor': 'middle',
    })
  const filled = (): string =>
    kind === 'graph' ? drawGraph(panel, inside, range, colorOf) : drawNumbers(panel, inside)
  return tag(
    'g',
    {},
    describe(queries.map(({ expr }) => expr).join('\n')),
    tag('rect', { x, y, width, height, rx: 3, fill: THEME.panel, stroke: THEME.border }),
    text(title, { x: x + PADDING, y: y + 19, fill: THEME.text, 'font-size': 13, 'font-weight': 600 }),
    shown ? filled() : empty(),
  )
}
