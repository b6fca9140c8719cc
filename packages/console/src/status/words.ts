/** A time as people say it: `350 ms`, `12 s`, `5 min`, `3 h`, `4 d`. */
export function duration(ms: number): string {
  const seconds = ms / 1_000
  if (seconds < 1) return `${Math.max(0, Math.round(ms))} ms`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

/** A moment of the clock of the store, as one of this machine: the two may differ a little. */
export function ago(atMs: number, nowMs: number): string {
  return `${duration(nowMs - atMs)} ago`
}

/** `2026-11-30 09:12:03 UTC` */
export function utc(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** `1 event`, `1,204 events` */
export function count(howMany: number | bigint, what: string): string {
  return `${howMany.toLocaleString('en-US')} ${what}${BigInt(howMany) === 1n ? '' : 's'}`
}

/** As an argument in a shell. */
export function argument(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** The first so many characters. */
export function shortened(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 3)}...`
}
