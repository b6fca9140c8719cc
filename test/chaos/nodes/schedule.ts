import { Random } from '../../core/model/random.ts'
import { LEASE_MS, type Mischief, PROJECTIONS } from '../../programs/nodes-projections.ts'

export const NODES = 4

/** One fault, and when it comes, counted from the start. */
export type Fault = { readonly atMs: number } & FaultKind

type FaultKind =
  /** SIGKILL, and another process in its place after a while. */
  | { readonly kind: 'kill'; readonly node: number; readonly awayMs: number }
  /** SIGSTOP, and SIGCONT when its leases have expired. */
  | { readonly kind: 'freeze'; readonly node: number; readonly forMs: number }
  /** SIGTERM, and another release in its place. */
  | { readonly kind: 'deploy'; readonly node: number; readonly isEarlier: boolean }
  /** The network to it goes silent both ways, or loses the answers alone. What was open is cut later. */
  | {
      readonly kind: 'silence'
      readonly node: number
      readonly forMs: number
      readonly of: 'both ways' | 'answers'
    }
  | { readonly kind: 'clock'; readonly node: number; readonly byMs: number }
  /** Ends one session, whosever it is. */
  | { readonly kind: 'terminate'; readonly choice: number }
  | { readonly kind: 'crash' }
  /** The server comes back as a standby and is promoted: another timeline. */
  | { readonly kind: 'promotion' }
  | {
      readonly kind: 'mischief'
      readonly how: Mischief
      readonly projection: string
      readonly forMs: number
    }
  | { readonly kind: 'poison'; readonly events: number; readonly forMs: number }

/** How often each kind comes among as many faults as the sum of these. */
const SHARES: Readonly<Record<FaultKind['kind'], number>> = {
  kill: 3,
  freeze: 2,
  deploy: 1,
  silence: 3,
  clock: 1,
  terminate: 5,
  crash: 1,
  promotion: 1,
  mischief: 5,
  poison: 2,
}

const MISCHIEF: readonly Mischief[] = ['throws', 'hangs', 'hangs in a statement', 'is slow']

const EVERY_MS = 1_000

/** A fault each second, the same ones for the same seed. Each kind comes as often as its share, in a random order. */
export function scheduleOf(seed: number, forMs: number): readonly Fault[] {
  const random = new Random(seed)
  const faults: Fault[] = []
  let bag: FaultKind['kind'][] = []
  for (let atMs = EVERY_MS; atMs < forMs; atMs += EVERY_MS) {
    if (bag.length === 0) bag = everyKind()
    const [kind] = bag.splice(random.below(bag.length), 1)
    if (kind !== undefined) faults.push({ atMs, ...faultOf(kind, random) })
  }
  return faults
}

function everyKind(): FaultKind['kind'][] {
  return (Object.keys(SHARES) as FaultKind['kind'][]).flatMap((kind) => Array(SHARES[kind]).fill(kind))
}

function faultOf(kind: FaultKind['kind'], random: Random): FaultKind {
  const between = (least: number, most: number): number => least + random.below(most - least)
  const node = random.below(NODES)
  switch (kind) {
    case 'kill':
      return { kind, node, awayMs: random.below(2_000) }
    case 'freeze':
      return { kind, node, forMs: LEASE_MS + between(500, 3_000) }
    case 'deploy':
      return { kind, node, isEarlier: random.chance(0.5) }
    case 'silence':
      return { kind, node, forMs: between(1_000, 5_000), of: random.chance(0.5) ? 'both ways' : 'answers' }
    case 'clock':
      return { kind, node, byMs: between(-3_600_000, 3_600_000) }
    case 'terminate':
      return { kind, choice: random.below(1_000) }
    case 'mischief':
      return {
        kind,
        how: random.pick(MISCHIEF) ?? 'throws',
        projection: random.pick(PROJECTIONS)?.name ?? 'all',
        forMs: between(500, 4_000),
      }
    case 'poison':
      return { kind, events: between(1, 4), forMs: between(1_000, 10_000) }
    case 'crash':
    case 'promotion':
      return { kind }
  }
}

/** In one line. */
export function describeFault({ atMs, ...fault }: Fault): string {
  return `${(atMs / 1_000).toFixed()} s: ${JSON.stringify(fault)}`
}
