import type { JSX } from 'preact'
import { ago, local, utc } from '../pure/times.ts'
import { nowMs } from './clock.ts'

/** A moment in the viewer's zone; UTC as its title. */
export function Time({ atMs }: { readonly atMs: number | null | undefined }): JSX.Element {
  if (atMs === null || atMs === undefined) return <span>–</span>
  return (
    <time dateTime={new Date(atMs).toISOString()} title={utc(atMs)}>
      {local(atMs, nowMs.value)}
    </time>
  )
}

/** `12 s ago`; both zones as its title. */
export function Ago({ atMs }: { readonly atMs: number | null | undefined }): JSX.Element {
  if (atMs === null || atMs === undefined) return <span>–</span>
  return (
    <time dateTime={new Date(atMs).toISOString()} title={`${local(atMs, nowMs.value)} here, ${utc(atMs)}`}>
      {ago(atMs, nowMs.value)}
    </time>
  )
}
