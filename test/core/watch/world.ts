import type { ConsumerCheckpoint, StoredConsumer } from '@tidemark/core'
import type { VisibleEvent } from '../../../packages/core/src/ports/watch-source.ts'
import {
  type ConsumerStanding,
  type Suspect,
  step,
  type Unsure,
} from '../../../packages/core/src/watch/exposures.ts'
import { type Missing, missingAfter, startMissing } from '../../../packages/core/src/watch/missing.ts'

export type Kind = ConsumerCheckpoint['kind']

/** What happens next; `pick` chooses among what there is to choose. */
export interface Action {
  readonly kind:
    | 'begin'
    | 'append'
    | 'commit'
    | 'rollback'
    | 'read'
    | 'store'
    | 'look'
    | 'snapshot'
    /** Both at once. */
    | 'glance'
    | 'settle'
    | 'reset'
    | 'vanish'
    | 'restart'
    | 'freeze'
    /** Set back, and up again to where it stood, before anybody looks. */
    | 'relapse'
    | 'delete'
  readonly pick: number
}

interface Transaction {
  readonly id: bigint
  readonly positions: bigint[]
}

interface Page {
  readonly checkpoint: ConsumerCheckpoint
  readonly events: readonly bigint[]
}

/** Gaps that a consumer of the kind `gaps` keeps: more than that are dropped, and lost. */
const MOST_GAPS = 1

/**
 * A store, one consumer and a watch, which know everything of one another that in reality nobody knows. Writers take numbers
 * and commit in any order. The consumer reads a page, handles it, and stores its checkpoint some time later. The watch reads
 * the checkpoint, and some time later takes its snapshot.
 */
export class World {
  readonly visible = new Map<bigint, bigint>()
  readonly handled = new Set<bigint>()
  readonly lost: Suspect[] = []
  /** Lost events that had been handled when they were told. */
  readonly falselyLost: bigint[] = []
  readonly unsure: Unsure[] = []
  /** Events of which a look has shown that they were passed, and then that they were there. */
  readonly shown = new Set<bigint>()
  isDisturbed = false
  standing: ConsumerStanding | undefined
  readonly #kind: Kind
  #open: Transaction[] = []
  #nextPosition = 1n
  #nextTransaction = 1n
  #stored: Omit<StoredConsumer, 'consumer' | 'text'> | undefined
  #memory: ConsumerCheckpoint
  #page: Page | undefined
  #writes = 0
  #lookedAtRevision: string | undefined
  #isFrozen = false
  #wasFrozen = false
  #settled: bigint | undefined = 0n
  #missing: Missing | undefined
  /** The checkpoint of a look that has not taken its snapshot yet. */
  #look:
    | {
        readonly stored: Omit<StoredConsumer, 'consumer' | 'text'> | undefined
        readonly settled: bigint | undefined
        readonly disturbances: number
      }
    | undefined
  /** What the look before saw: for `shown`. */
  #former:
    | { readonly checkpoint: ConsumerCheckpoint | undefined; readonly visible: ReadonlySet<bigint> }
    | undefined
  #floor: ConsumerCheckpoint | undefined
  #looks = 0
  #disturbances = 0
  /** Those that a look has seen, and that has come to its end: the consumer waits for it, as one that is restarted does. */
  #seenDisturbances = 0

  constructor(kind: Kind) {
    this.#kind = kind
    this.#memory = startOf(kind)
    this.#stored = { checkpoint: this.#memory, run: '0', revision: '0' }
  }

  act({ kind, pick }: Action): void {
    const acts: Readonly<Record<Action['kind'], () => void>> = {
      begin: () => this.#open.push({ id: this.#nextTransaction++, positions: [] }),
      append: () => {
        if (this.#open.length < 3) this.act({ kind: 'begin', pick })
        this.#of(pick)?.positions.push(this.#nextPosition++)
      },
      commit: () => this.#end(this.#of(pick), true),
      rollback: () => this.#end(this.#of(pick), false),
      delete: () =>
        this.visible.delete([...this.visible.keys()][pick % Math.max(1, this.visible.size)] ?? 0n),
      read: () => {
        if (this.#seenDisturbances === this.#disturbances) this.#page ??= this.#read(1 + (pick % 4))
      },
      store: () => this.#store(),
      settle: () => {
        this.#settled = this.#provable()
      },
      look: () => {
        this.#lookedAtRevision = this.#stored?.revision
        this.#look = { stored: this.#stored, settled: this.#settled, disturbances: this.#disturbances }
      },
      snapshot: () => this.#snapshot(),
      glance: () => {
        this.act({ kind: 'look', pick })
        this.#snapshot()
      },
      reset: () => this.#set(this.#somewhere(pick)),
      vanish: () => {
        this.#disturb()
        this.#stored = undefined
        this.#memory = startOf(this.#kind)
      },
      restart: () => {
        this.#disturb()
        // The row tells of it; where there is none, nothing does.
        if (this.#stored) this.#seenDisturbances = this.#disturbances
        this.#memory = pick % 2 === 0 ? startOf(this.#kind) : this.#memory
        this.#stored = this.#stored && {
          ...this.#stored,
          run: `${this.#nextTransaction}/${pick}`,
          revision: this.#written(),
        }
      },
      freeze: () => this.#freeze(),
      relapse: () => this.#relapse(),
    }
    acts[kind]()
  }

  /** Everybody comes to an end, and the watch looks until there is no more to see. */
  end(): void {
    for (const transaction of [...this.#open]) this.#end(transaction, true)
    for (let rounds = 0; rounds < 60; rounds++) {
      for (const kind of ['look', 'snapshot', 'read', 'store', 'settle'] as const) this.act({ kind, pick: 3 })
    }
  }

  #disturb(): void {
    this.isDisturbed = true
    this.#page = undefined
    this.#isFrozen = false
    this.#disturbances++
  }

  /** Somebody sets the row, and the consumer, which no longer finds what it has stored, goes on without it. */
  #freeze(): void {
    // Set twice so, a row looks as if the consumer went by it. The page says that this is not seen.
    if (this.#wasFrozen) return
    this.#disturb()
    this.#wasFrozen = true
    this.#seenDisturbances = this.#disturbances
    this.#isFrozen = true
    this.#stored = { checkpoint: this.#ahead(), run: this.#stored?.run, revision: this.#written() }
  }

  #relapse(): void {
    const { checkpoint, revision } = this.#stored ?? {}
    // Beside a move between the same two looks nobody could see it: the page says so.
    if (checkpoint === undefined || this.#isFrozen || revision !== this.#lookedAtRevision) return
    this.#disturb()
    this.#memory = checkpoint
    for (const position of this.events) {
      if (covers(checkpoint, position, this.visible)) this.handled.add(position)
    }
    this.#stored = { checkpoint, run: this.#stored?.run, revision: this.#written() }
  }

  #written(): string {
    return String(++this.#writes)
  }

  #set(checkpoint: ConsumerCheckpoint): void {
    this.#disturb()
    this.#memory = checkpoint
    this.#stored = { checkpoint, run: this.#stored?.run, revision: this.#written() }
  }

  #of(pick: number): Transaction | undefined {
    return this.#open[pick % Math.max(1, this.#open.length)]
  }

  #end(transaction: Transaction | undefined, commits: boolean): void {
    if (transaction === undefined) return
    this.#open = this.#open.filter((other) => other !== transaction)
    if (commits) for (const position of transaction.positions) this.visible.set(position, transaction.id)
  }

  /** Up to here nobody can append any more. */
  #provable(): bigint {
    const open = this.#open.flatMap(({ positions }) => positions)
    return open.reduce(
      (least, position) => (position <= least ? position - 1n : least),
      this.#nextPosition - 1n,
    )
  }

  #events(): readonly bigint[] {
    return [...this.visible.keys()].toSorted(ascending)
  }

  #read(limit: number): Page | undefined {
    const from = this.#memory
    const { events, checkpoint } = READERS[this.#kind](this, from, limit)
    return events.length === 0 ? undefined : { events, checkpoint }
  }

  /** Of the kind `pair`: what an open transaction could still come before is not read. */
  get oldestOpen(): bigint {
    return [this.#nextTransaction, ...this.#open.map(({ id }) => id)].toSorted(ascending)[0] ?? 0n
  }

  get events(): readonly bigint[] {
    return this.#events()
  }

  #store(): void {
    if (this.#page === undefined) return
    for (const position of this.#page.events) this.handled.add(position)
    this.#memory = this.#page.checkpoint
    if (!this.#isFrozen)
      this.#stored = { checkpoint: this.#memory, run: this.#stored?.run ?? '0', revision: this.#written() }
    this.#page = undefined
  }

  #somewhere(pick: number): ConsumerCheckpoint {
    const { position } = this.#memory
    return atPosition(this.#kind, position <= 0n ? 0n : BigInt(pick) % position, this.visible)
  }

  #ahead(): ConsumerCheckpoint {
    return atPosition(this.#kind, this.#nextPosition - 1n, this.visible)
  }

  #snapshot(): void {
    if (this.#look === undefined) return
    const { stored, settled, disturbances } = this.#look
    this.#look = undefined
    this.#seenDisturbances = Math.max(this.#seenDisturbances, disturbances)
    const missing = this.#missing ?? startMissing(settled, this.#nextPosition - 1n)
    const events = this.#events()
    const isMissing = (position: bigint): boolean =>
      missing.runs.some(({ from, to }) => from <= position && position <= to)
    const look = {
      appeared: events.filter(isMissing).map((position) => this.#event(position)),
      unseen: [],
      visible: events
        .filter((position) => position > missing.through)
        .map((position) => this.#event(position)),
      layout: undefined,
      through: [this.#nextPosition - 1n, missing.through].toSorted(ascending)[1] ?? 0n,
    }
    this.#noteShown(stored?.checkpoint, new Set(events))
    const { standing, lost, unsure } = step(this.standing, {
      stored,
      appeared: look.appeared,
      head: this.#nextPosition - 1n,
      isRearranged: false,
      atMs: ++this.#looks,
      previousAtMs: this.#looks - 1,
      heldBy: [],
    })
    this.standing = standing
    this.lost.push(...lost)
    this.falselyLost.push(
      ...lost.map(({ event }) => event.position).filter((position) => this.handled.has(position)),
    )
    this.unsure.push(...unsure)
    this.#missing = missingAfter(missing, look, settled)
  }

  /** By all that looks have shown, and nothing of how the watch keeps it. */
  #noteShown(checkpoint: ConsumerCheckpoint | undefined, visible: ReadonlySet<bigint>): void {
    if (this.#former?.checkpoint && this.#floor) {
      for (const position of visible) {
        const isPassed = covers(this.#former.checkpoint, position, this.visible)
        if (isPassed && !this.#former.visible.has(position) && !covers(this.#floor, position, this.visible))
          this.shown.add(position)
      }
    }
    this.#floor ??= checkpoint
    this.#former = { checkpoint, visible }
  }

  #event(position: bigint): VisibleEvent {
    return { position, transaction: this.visible.get(position), type: undefined, traceparent: undefined }
  }
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function startOf(kind: Kind): ConsumerCheckpoint {
  return atPosition(kind, 0n, new Map())
}

function atPosition(kind: Kind, position: bigint, visible: ReadonlyMap<bigint, bigint>): ConsumerCheckpoint {
  if (kind === 'pair') return { kind, transaction: visible.get(position) ?? 0n, position }
  return kind === 'gaps' ? { kind, position, gaps: [] } : { kind, position }
}

/** Not the product's own. */
function covers(
  checkpoint: ConsumerCheckpoint,
  position: bigint,
  transactions: ReadonlyMap<bigint, bigint>,
): boolean {
  if (checkpoint.kind === 'gaps' && checkpoint.gaps.some((gap) => gap === position)) return false
  if (checkpoint.kind !== 'pair') return checkpoint.position >= position
  const transaction = transactions.get(position)
  if (transaction === undefined) return false
  if (transaction !== checkpoint.transaction) return transaction < checkpoint.transaction
  return position <= checkpoint.position
}

type Reader = (world: World, from: ConsumerCheckpoint, limit: number) => Page

const READERS: Readonly<Record<Kind, Reader>> = {
  position: (world, from, limit) => {
    const events = world.events.filter((position) => position > from.position).slice(0, limit)
    return { events, checkpoint: { kind: 'position', position: events.at(-1) ?? from.position } }
  },
  pair: (world, from, limit) => {
    const events = world.events
      .filter((position) => (world.visible.get(position) ?? 0n) < world.oldestOpen)
      .filter((position) => !covers(from, position, world.visible))
      .toSorted(
        (a, b) => Number((world.visible.get(a) ?? 0n) - (world.visible.get(b) ?? 0n)) || Number(a - b),
      )
      .slice(0, limit)
    const last = events.at(-1)
    return { events, checkpoint: last === undefined ? from : atPosition('pair', last, world.visible) }
  },
  gaps: (world, from, limit) => {
    const kept = from.kind === 'gaps' ? from.gaps : []
    const events = world.events
      .filter((position) => position > from.position || kept.includes(position))
      .slice(0, limit)
    const last = [from.position, ...events].toSorted(ascending).at(-1) ?? from.position
    const gaps = [...kept.filter((gap) => !events.includes(gap))]
    for (let position = from.position + 1n; position <= last; position++) {
      if (!events.includes(position)) gaps.push(position)
    }
    return { events, checkpoint: { kind: 'gaps', position: last, gaps: gaps.slice(-MOST_GAPS) } }
  },
}
