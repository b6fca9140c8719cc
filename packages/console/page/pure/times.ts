import { duration } from './words.ts'

/** `2026-11-30 09:12:03 UTC` */
export function utc(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** In the zone of whoever looks: the time, and the day where it is another one than now. */
export function local(atMs: number, nowMs: number, timeZone?: string): string {
  const zone = timeZone === undefined ? {} : { timeZone }
  const day = new Intl.DateTimeFormat('en-CA', { ...zone, year: 'numeric', month: '2-digit', day: '2-digit' })
  const time = new Intl.DateTimeFormat('en-GB', {
    ...zone,
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  })
  const [at, today] = [day.format(atMs), day.format(nowMs)]
  return at === today ? time.format(atMs) : `${at} ${time.format(atMs)}`
}

/** `12 s ago`; `just now` also where the two clocks differ a little. */
export function ago(atMs: number, nowMs: number): string {
  const ms = nowMs - atMs
  return ms < 1_000 ? 'just now' : `${duration(ms)} ago`
}
