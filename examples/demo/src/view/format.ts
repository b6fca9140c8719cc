const GROUPED = new Intl.NumberFormat('en-US')

/** `12,345`; an en dash for what is not known. */
export function grouped(number: number | bigint | undefined): string {
  return number === undefined ? '–' : GROUPED.format(number)
}

/** `0.8 ms`, `42 ms`, `1.50 s` */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return '–'
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(2)} s`
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`
}

export function plural(count: number | bigint, one: string, many: string = `${one}s`): string {
  return `${grouped(count)} ${Number(count) === 1 ? one : many}`
}

/** Columns as wide as their widest cell; the first is flush left, the others flush right. */
export function table(rows: readonly (readonly string[])[], gap = '  '): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join(gap),
  )
}
