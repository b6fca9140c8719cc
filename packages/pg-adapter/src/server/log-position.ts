import { parseSnapshot, type Snapshot } from './snapshot.ts'

/** Where the server's log stood after a poll, and what that poll could see: `16/B374D848 751:760:751,755`. */
export function formatLogPosition(lsn: string, snapshot: Snapshot): string {
  const { xmin, xmax, running } = snapshot
  return `${lsn} ${xmin}:${xmax}:${[...running].join(',')}`
}

/** The WAL position in it; `undefined` where it is of another kind of store. */
export function lsnOf(logPosition: string | undefined): string | undefined {
  return /^([0-9A-F]+\/[0-9A-F]+)( |$)/i.exec(logPosition ?? '')?.[1]
}

export function snapshotOf(logPosition: string | undefined): Snapshot | undefined {
  const text = logPosition?.split(' ')[1]
  return text === undefined ? undefined : parseSnapshot(text)
}

/** A WAL position, `16/B374D848`, as a number that can be compared. */
export function parseLsn(text: string): bigint {
  const [high, low] = text.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}
