import type { FilledPanel, Line } from './row.ts'
import { tag, text, widthOf } from './svg.ts'
import { colorNamed, THEME } from './theme.ts'

export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

const NAME_SIZE = 13
const NUMBER_SIZE = 36

/** A number a series, in the colour of the threshold that it has reached. Each is given room for its name. */
export function drawNumbers(panel: FilledPanel, { x, y, width, height }: Box): string {
  const names = panel.lines.map(({ legend }) => widthOf(legend, NAME_SIZE))
  const spare = (width - names.reduce((sum, name) => sum + name, 0)) / panel.lines.length
  let left = x
  const numbers = panel.lines.map((line, index) => {
    const room = (names[index] ?? 0) + spare
    const center = left + room / 2
    left += room
    const { words, color } = shown(panel, line)
    return tag(
      'g',
      { 'text-anchor': 'middle' },
      text(words, {
        x: round(center),
        y: y + height / 2 + 8,
        fill: color,
        'font-size': NUMBER_SIZE,
        'font-weight': 600,
      }),
      text(line.legend, { x: round(center), y: y + height - 8, fill: THEME.text, 'font-size': NAME_SIZE }),
    )
  })
  return numbers.join('')
}

function shown({ texts, thresholds }: FilledPanel, { points }: Line): { words: string; color: string } {
  const value = Math.round(points.at(-1)?.[1] ?? 0)
  const mapped = texts[value]
  if (mapped) return { words: mapped.text, color: colorNamed(mapped.color ?? 'text') }
  const reached = thresholds.findLast(({ value: from }) => from === null || value >= from)
  return { words: value.toLocaleString('en-US'), color: colorNamed(reached?.color ?? 'text') }
}

function round(pixels: number): number {
  return Math.round(pixels * 10) / 10
}
