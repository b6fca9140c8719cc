import {
  ago,
  count,
  duration,
  type ProjectionRow,
  type Status,
  type StatusState,
  utc,
} from '@tidemark/console/status'
import { versionName } from '@tidemark/core/adapter'
import type { Line, Tone } from '../lines.ts'
import { table } from '../table.ts'

/** How fast a projection has moved since an earlier look. */
export interface Pace {
  readonly perSecond: number
}

export interface StatusFormat {
  readonly columns: number | undefined
  /** By the name of a version. Absent where there was no earlier look. */
  readonly paces?: ReadonlyMap<string, Pace>
}

/** Pure: what is wrong first, in words; then the marks, and every projection. */
export function formatStatus(status: Status, format: StatusFormat): readonly Line[] {
  const { problems, notes, marks, projections, atMs } = status
  return [
    headline(status),
    ...problems.flatMap(({ what, next }): readonly Line[] => [
      '',
      { text: `! ${what}`, tone: 'bad' },
      ...next.map((line) => `    ${line}`),
    ]),
    ...(notes.length === 0 ? [] : ['', ...notes.map((note) => `- ${note}`)]),
    ...(marks.length === 0 ? [] : ['', ...marks.map(markLine)]),
    ...(projections.length === 0 ? [] : ['', ...projectionTable(projections, atMs, format)]),
    '',
    { text: `As of ${utc(atMs)}.`, tone: 'quiet' },
  ]
}

function headline({ healthy, problems, projections, notes }: Status): Line {
  if (!healthy) {
    const found = problems.length === 1 ? '1 thing is' : `${problems.length} things are`
    return { text: `${found} wrong.`, tone: 'bad' }
  }
  if (projections.length === 0) return { text: 'Nothing is wrong.', tone: 'good' }
  const live = projections.filter(({ state }) => state !== 'retired').length
  const all = count(live, 'projection')
  // A note may say what whoever was called wants to know.
  const text = notes.length === 0 ? `All is well: ${all}.` : `Nothing is wrong with ${all}. Worth knowing:`
  return { text, tone: 'good' }
}

function markLine({ source, head, settled, stands, isProven }: Status['marks'][number]): Line {
  if (head === null || head === 0n) return `${source}: no event yet`
  if (!isProven) return `${source}: head ${head}; nothing is proven here`
  const at = `${source}: settled up to ${settled ?? 'nothing'}, head ${head}`
  return stands ? { text: `${at}; the mark stands`, tone: 'bad' } : at
}

const TONES: Readonly<Record<StatusState, Tone | undefined>> = {
  follows: undefined,
  works: undefined,
  replays: 'warn',
  fails: 'bad',
  stands: 'bad',
  paused: 'warn',
  retired: 'quiet',
  unknown: 'warn',
}

function projectionTable(
  rows: readonly ProjectionRow[],
  nowMs: number,
  { columns, paces }: StatusFormat,
): readonly Line[] {
  const isPaced = paces !== undefined && paces.size > 0
  const head = ['projection', 'state', 'position', 'behind', 'changed', 'dead letters', 'skipped']
  return table(
    isPaced ? [...head, 'per second', 'left'] : head,
    rows.map((row) => {
      const tone = TONES[row.state]
      return {
        cells: [...cellsOf(row, nowMs), ...(isPaced ? paceCells(row, paces.get(versionName(row))) : [])],
        ...(tone === undefined ? {} : { tone }),
      }
    }),
    columns,
  )
}

function cellsOf(row: ProjectionRow, nowMs: number): readonly string[] {
  const shards = row.shards === 1 ? '' : ` in ${row.shards} shards`
  const role = row.role === 'beside' ? ', beside the live one' : ''
  const skipped = Object.values(row.skipped).reduce((sum, each) => sum + (each ?? 0n), 0n)
  return [
    `${versionName(row)}${shards}`,
    `${row.state}${role}`,
    row.position ?? 'none yet',
    row.behind === null ? '?' : String(row.behind),
    row.changedAtMs === null ? '?' : ago(row.changedAtMs, nowMs),
    String(row.deadLetters),
    String(skipped),
  ]
}

function paceCells({ behind }: ProjectionRow, pace: Pace | undefined): readonly string[] {
  if (pace === undefined) return ['', '']
  const perSecond = pace.perSecond.toLocaleString('en-US', { maximumFractionDigits: 1 })
  if (behind === null || behind === 0n || pace.perSecond <= 0) return [perSecond, '']
  return [perSecond, duration((Number(behind) / pace.perSecond) * 1_000)]
}

/** How far each has come between two looks; pure. */
export function pacesOf(before: Status, now: Status): ReadonlyMap<string, Pace> {
  const seconds = (now.atMs - before.atMs) / 1_000
  const paces = new Map<string, Pace>()
  if (seconds <= 0) return paces
  for (const row of now.projections) {
    const name = versionName(row)
    const earlier = before.projections.find((each) => versionName(each) === name)
    if (earlier?.position == null || row.position === null) continue
    if (!/^\d+$/.test(row.position) || !/^\d+$/.test(earlier.position)) continue
    const moved = Number(BigInt(row.position) - BigInt(earlier.position))
    paces.set(name, { perSecond: Math.max(0, moved) / seconds })
  }
  return paces
}
