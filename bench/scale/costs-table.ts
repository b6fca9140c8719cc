import { printTable, wholeNumber } from '../support/table.ts'

/** One size, and each figure in the order of the headings; `undefined` where there is none. */
export interface SizedFigures {
  readonly size: number
  readonly figures: readonly (number | undefined)[]
}

/** With the exponent of each between the smallest and the largest size: 0 where the size does not matter, 1 where twice is twice. */
export function printSizes(what: string, headings: readonly string[], rows: readonly SizedFigures[]): void {
  const first = rows[0]
  const last = rows.at(-1)
  if (first === undefined || last === undefined) return
  printTable(
    [what, ...headings],
    [
      ...rows.map(({ size, figures }) => [wholeNumber(size), ...figures.map(shown)]),
      ['exponent', ...headings.map((_, column) => exponent(first, last, column))],
    ],
  )
}

function exponent(first: SizedFigures, last: SizedFigures, column: number): string {
  const [from, to] = [first.figures[column], last.figures[column]]
  if (from === undefined || to === undefined || first.size === last.size) return '-'
  return (Math.log(to / from) / Math.log(last.size / first.size)).toFixed(2)
}

function shown(figure: number | undefined): string {
  if (figure === undefined || Number.isNaN(figure)) return '-'
  return figure >= 100 ? wholeNumber(figure) : figure.toFixed(figure >= 10 ? 1 : 2)
}
