import { type Line, plain, type Tone } from './lines.ts'

export interface Row {
  readonly cells: readonly string[]
  readonly tone?: Tone
}

const GAP = '  '

/** Columns where they fit; in a narrow terminal each row is a block of its own. */
export function table(
  head: readonly string[],
  rows: readonly Row[],
  columns: number | undefined,
): readonly Line[] {
  const cells = rows.map((row) => row.cells.map(plain))
  const widths = head.map((name, at) =>
    Math.max(...[name, ...cells.map((row) => row[at] ?? '')].map(widthOf)),
  )
  const width = widths.reduce((sum, each) => sum + each + GAP.length, -GAP.length)
  const toned = (text: string, at: number): Line => {
    const tone = rows[at]?.tone
    return tone === undefined ? text : { text, tone }
  }
  if (columns !== undefined && width > columns) {
    const widest = Math.max(...head.map(widthOf))
    return cells.flatMap((row, at) => [
      ...(at === 0 ? [] : ['']),
      toned(row[0] ?? '', at),
      ...row.slice(1).map((cell, n) => `${GAP}${padded(head[n + 1] ?? '', widest)}${GAP}${cell}`),
    ])
  }
  const lineOf = (row: readonly string[]): string =>
    row
      .map((cell, at) => padded(cell, widths[at] ?? 0))
      .join(GAP)
      .trimEnd()
  return [{ text: lineOf(head), tone: 'quiet' }, ...cells.map((row, at) => toned(lineOf(row), at))]
}

const widthOf = (text: string): number => [...text].length

const padded = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)))
