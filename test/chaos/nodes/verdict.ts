import { keyOf, type NodeProjection } from '../../programs/nodes-projections.ts'
import { type Row, verdictOn } from '../oracle.ts'

/** An event that was given up. */
export interface Letter {
  readonly position: string
  readonly stage: string
  /** Of the error: what the handler has thrown, or a code. */
  readonly message: string
  readonly code: string | null
  /** Its events were handled in the end. */
  readonly isRetried: boolean
}

/** What is committed, and what one version of a projection has made of it. */
export interface Account {
  readonly name: string
  readonly policy: NodeProjection['policy']
  /** Cut into shards: the order holds within each key alone. */
  readonly isInShards: boolean
  /** Of its types, in the order of their positions. */
  readonly committed: readonly Row[]
  /** In the order in which they were handled. */
  readonly arrived: readonly Row[]
  readonly letters: readonly Letter[]
  /** How many events its checkpoint says that it has given up. */
  readonly counted: number
}

/** What is wrong with it: nothing, where it is empty. */
export type Faults = Readonly<Record<string, readonly string[]>>

const KNOWN_CODES: readonly (string | null)[] = ['TIDEMARK_HANDLER_TIMEOUT', 'TIDEMARK_PROCESS_ENDED']

/**
 * Each event is handled once, or given up once; in order, of its key where there are shards or events were parked; nothing is given up
 * but for a cause.
 */
export function faultsOf(account: Account): Faults {
  const { name, policy, isInShards, committed, arrived, letters, counted } = account
  const givenUp = new Set(letters.filter(({ isRetried }) => !isRetried).map(({ position }) => position))
  const wasGivenUp = new Set(letters.map(({ position }) => position))
  const { lost, duplicated, phantom } = verdictOn(
    name,
    committed.filter(({ position }) => !givenUp.has(position)),
    arrived,
  )
  const isInTurn = ({ position }: Row): boolean => !wasGivenUp.has(position)
  const inTurn = [committed.filter(isInTurn), arrived.filter(isInTurn)] as const
  const faults = {
    lost,
    duplicated,
    'not committed, or given up besides': phantom,
    'out of order': isInShards ? outOfOrderInKeys(name, ...inTurn) : verdictOn(name, ...inTurn).outOfOrder,
    // What was parked is retried behind events of other keys, and before later ones of its own.
    'out of order in its key': policy === 'park_key' ? outOfOrderInKeys(name, committed, arrived) : [],
    'given up without a cause': letters.filter((letter) => !hasCause(letter)).map(told),
    'given up more than once': repeated(letters.map(({ position }) => position)),
    'counted otherwise than given up':
      counted === letters.length ? [] : [`${counted}, and there are ${letters.length} dead letters`],
  }
  return Object.fromEntries(Object.entries(faults).filter(([, positions]) => positions.length > 0))
}

function outOfOrderInKeys(name: string, committed: readonly Row[], arrived: readonly Row[]): string[] {
  const arrivedOf = byKey(arrived)
  return [...byKey(committed)].flatMap(
    ([key, rows]) => verdictOn(name, rows, arrivedOf.get(key) ?? []).outOfOrder,
  )
}

function byKey(rows: readonly Row[]): ReadonlyMap<string, readonly Row[]> {
  const parts = new Map<string, Row[]>()
  for (const row of rows) {
    const part = parts.get(keyOf(row))
    if (part === undefined) parts.set(keyOf(row), [row])
    else part.push(row)
  }
  return parts
}

function hasCause({ stage, message, code }: Letter): boolean {
  return stage === 'parked' || message.startsWith('chaos: ') || KNOWN_CODES.includes(code)
}

function told({ position, stage, message, code }: Letter): string {
  return `${position}: ${stage}, ${code ?? 'no code'}, ${message}`
}

function repeated(positions: readonly string[]): string[] {
  const seen = new Set<string>()
  return positions.filter((position) => seen.has(position) || !seen.add(position))
}
