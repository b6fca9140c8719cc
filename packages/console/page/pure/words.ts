/** A time as people say it: `350 ms`, `12 s`, `5 min`, `3 h`, `4 d`. */
export function duration(ms: number): string {
  const seconds = ms / 1_000
  if (seconds < 1) return `${Math.max(0, Math.round(ms))} ms`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

/** `1 event`, `1,204 events` */
export function count(howMany: number | bigint, what: string): string {
  return `${number(howMany)} ${what}${BigInt(howMany) === 1n ? '' : 's'}`
}

/** `1,204` */
export function number(of: number | bigint): string {
  return of.toLocaleString('en-US')
}

/** A position as the server has sent it: `1,204`; what is no number stays as it is. */
export function position(text: string | null | undefined): string {
  if (text === null || text === undefined) return '–'
  return /^\d+$/.test(text) ? number(BigInt(text)) : text
}

/** `0/s`, `0.4/s`, `12/s`, `1,204/s` */
export function perSecond(rate: number): string {
  const rounded = rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)
  return `${number(rounded)}/s`
}

/** `a`, `a and b`, `a, b and 3 more` */
export function listed(names: readonly string[], most = 3): string {
  const shown = names.length > most + 1 ? names.slice(0, most) : names
  const more = names.length - shown.length
  if (more > 0) return `${shown.join(', ')} and ${number(more)} more`
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`
}
