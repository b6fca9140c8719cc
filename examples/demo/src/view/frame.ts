import { duration, grouped, table } from './format.ts'
import type { Paint } from './paint.ts'
import type { Snapshot } from './snapshot.ts'

/** For 80 columns and 24 lines, the line of the cursor included. */
const MOST_GAPS = 3
const MOST_HOLDERS = 3

/** The lines of a view that is redrawn in place. Their number is always the same, so that nothing jumps. */
export function frame(title: string, snapshot: Snapshot, paint: Paint): string[] {
  return [
    '',
    ` ${paint.bold('Tidemark')}  ${title}`,
    ` ${paint.dim(snapshot.phase)}`,
    '',
    ...store(snapshot, paint),
    '',
    ...projections(snapshot, paint),
    '',
    ...troubles(snapshot, paint),
  ]
}

function store(snapshot: Snapshot, paint: Paint): string[] {
  const { gaps, holders } = snapshot
  const isProof = snapshot.mode === 'proof'
  const row = (label: string, value: string, remark: string): string =>
    ` ${paint.dim(label.padEnd(9))}${value.padStart(11)}   ${paint.dim(remark)}`
  return [
    row(
      'appended',
      grouped(snapshot.appended),
      `${grouped(snapshot.appendedPerSecond)} events/s; ${grouped(snapshot.undone)} more were rolled back`,
    ),
    row('head', grouped(snapshot.head), 'the last number handed out'),
    row(
      'settled',
      grouped(snapshot.settled),
      isProof ? 'up to here all is visible or proven empty' : 'up to here all is visible, or was given up',
    ),
    row('mark', grouped(snapshot.mark), 'projections read up to here'),
    row('gaps', grouped(gaps.length), gaps.slice(0, MOST_GAPS).map(describeGap).join('  ')),
    row(
      'held by',
      grouped(holders.length),
      isProof ? holders.slice(0, MOST_HOLDERS).map(describeHolder).join(', ') : 'not known in this mode',
    ),
  ]
}

function describeGap({ from, to, openForMs }: Snapshot['gaps'][number]): string {
  return `${from === to ? from : `${from}-${to}`} (${duration(openForMs)})`
}

function describeHolder({ name, openForMs }: Snapshot['holders'][number]): string {
  return openForMs === undefined ? name : `${name} (${duration(openForMs)})`
}

function projections(snapshot: Snapshot, paint: Paint): string[] {
  const [header = '', ...rows] = table([
    ['projection', '  position', '    lag', 'events/s', '   handled', 'skipped', '      state'],
    ...snapshot.projections.map((projection) => [
      projection.name,
      grouped(projection.position),
      grouped(projection.lag),
      grouped(projection.perSecond),
      grouped(projection.handled),
      grouped(projection.skipped),
      projection.state.replace('_', ' '),
    ]),
  ])
  const isSkipping = snapshot.projections.map(({ skipped }) => skipped > 0n)
  return [
    ` ${paint.dim(header)}`,
    ...rows.map((row, index) => ` ${isSkipping[index] ? paint.warn(row) : row}`),
  ]
}

function troubles({ troubles: newest, troubleCount }: Snapshot, paint: Paint): string[] {
  if (troubleCount === 0) return [` ${paint.dim('errors           0')}`, '']
  return [
    ` ${paint.bad(`errors ${grouped(troubleCount).padStart(11)}   the last one:`)}`,
    ` ${oneLine(newest.at(-1))}`,
  ]
}

export function oneLine(text: string | undefined): string {
  return (text ?? '').replaceAll(/\s+/g, ' ')
}
