import type { History } from './history.ts'

/** Where a line is drawn, in the units of its picture. */
export interface Frame {
  readonly width: number
  readonly height: number
  /** The times at its left and right end. */
  readonly fromMs: number
  readonly toMs: number
  /** The values at its lower and upper end. */
  readonly least: number
  readonly most: number
}

/** Longer than that without a look, and the line is broken: nobody knows what was in between. */
const BROKEN_AFTER_MS = 30_000

/** The `d` of an SVG path. */
export function linePath(history: History, frame: Frame): string {
  let path = ''
  let beforeMs: number | undefined
  for (const { atMs, value } of history) {
    if (atMs < frame.fromMs) continue
    const isBroken = beforeMs === undefined || atMs - beforeMs > BROKEN_AFTER_MS
    path += `${isBroken ? 'M' : 'L'}${round(xOf(atMs, frame))} ${round(yOf(value, frame))}`
    beforeMs = atMs
  }
  return path
}

/** The `d` of what is between two lines. */
export function areaPath(upper: History, lower: History, frame: Frame): string {
  const points = [...upper, ...lower.toReversed()].filter(({ atMs }) => atMs >= frame.fromMs)
  if (points.length === 0) return ''
  return `M${points.map(({ atMs, value }) => `${round(xOf(atMs, frame))} ${round(yOf(value, frame))}`).join('L')}Z`
}

export function xOf(atMs: number, { width, fromMs, toMs }: Frame): number {
  return ((atMs - fromMs) / (toMs - fromMs)) * width
}

/** Upwards; a flat line is at the bottom. */
export function yOf(value: number, { height, least, most }: Frame): number {
  return most === least ? height : height - ((value - least) / (most - least)) * height
}

const round = (n: number): number => Math.round(n * 10) / 10
