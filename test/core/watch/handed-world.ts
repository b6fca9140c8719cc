import type { Gap } from '../../../packages/core/src/ports/event-source.ts'
import type { VisibleEvent } from '../../../packages/core/src/ports/watch-source.ts'
import {
  type HandedStanding,
  type HandedStep,
  type HandedSuspect,
  hasMissed,
  openRuns,
  passedOf,
  standingAbove,
  stepHanded,
} from '../../../packages/core/src/watch/handed.ts'
import { HandedRuns } from '../../../packages/core/src/watch/handed-runs.ts'

/** In which order a consumer reads: of positions, of transactions behind the oldest open one, of commits. */
export type Order = 'position' | 'transaction' | 'commit'

export interface Act {
  readonly kind:
    | 'append'
    | 'commit'
    | 'rollback'
    | 'read'
    | 'hand'
    | 'fail'
    | 'jump'
    | 'settle'
    | 'look'
    | 'snapshot'
    | 'conclude'
    | 'restart'
  readonly pick: number
}

interface Stored {
  readonly transaction: bigint
  readonly type: string
  readonly commit: bigint
}

interface Transaction {
  readonly id: bigint
  readonly events: { readonly position: bigint; readonly type: string }[]
}

type Key = readonly [bigint, bigint]

/**
 * A store, one consumer and a monitor of its handler. The consumer reads pages ahead, hands their events over one by one, and
 * stores how far it has come at the end of a page. When it fails it goes back there. It hands over events of type `a` alone.
 */
export class HandedWorld {
  readonly stored = new Map<bigint, Stored>()
  readonly handed = new Set<bigint>()
  readonly lost: HandedSuspect[] = []
  /** Told after they had been handed over, by this process or a former one. */
  readonly falsely: bigint[] = []
  readonly unsure: HandedStep['unsure'][number][] = []
  standing: HandedStanding | undefined
  readonly #order: Order
  #open: Transaction[] = []
  #nextPosition = 1n
  #nextTransaction = 1n
  #nextCommit = 1n
  #pages: bigint[][] = []
  #inHand = 0
  #cursor: Key = [0n, 0n]
  #checkpoint: Key = [0n, 0n]
  #settled = 0n
  #runs = new HandedRuns()
  #handedTo: bigint | undefined
  /** The first position that this process was handed. */
  #first: bigint | undefined
  #isFirst = true
  /** As it is kept for the next process. Where that dies in between, it is behind. */
  #kept: readonly Gap<bigint>[] = []
  #looking:
    | { readonly settled: bigint; readonly handedTo: bigint; readonly before: HandedStanding }
    | undefined
  #seen: { readonly appeared: VisibleEvent[]; readonly visible: VisibleEvent[] } | undefined

  constructor(order: Order) {
    this.#order = order
  }

  /** What it had to be handed, and was not. */
  get missed(): readonly bigint[] {
    const floor = this.standing?.floor ?? 0n
    return this.#events('a').filter((position) => position > floor && !this.handed.has(position))
  }

  act({ kind, pick }: Act): void {
    const acts: Readonly<Record<Act['kind'], () => void>> = {
      append: () => {
        if (this.#open.length < 4) this.#open.push({ id: this.#nextTransaction++, events: [] })
        const transaction = this.#open[pick % this.#open.length]
        transaction?.events.push({ position: this.#nextPosition++, type: pick % 3 === 0 ? 'b' : 'a' })
      },
      commit: () => this.#end(pick, true),
      rollback: () => this.#end(pick, false),
      read: () => this.#read(1 + (pick % 4)),
      hand: () => this.#hand(),
      fail: () => this.#goTo(this.#checkpoint),
      jump: () => {
        const last = this.#events().at(-1)
        if (last !== undefined && this.#order === 'position') {
          this.#checkpoint = this.#keyOf(last)
          this.#goTo(this.#checkpoint)
        }
      },
      settle: () => {
        const open = this.#open.flatMap(({ events }) => events.map(({ position }) => position))
        const [least = 1n] = [this.#nextPosition, ...open].toSorted(ascending)
        this.#settled = least - 1n
      },
      look: () => {
        if (this.#handedTo === undefined || this.#looking) return
        const before = this.standing ?? this.#begun()
        this.#looking = { settled: this.#settled, handedTo: this.#handedTo, before }
      },
      snapshot: () => this.#snapshot(1 + (pick % 6)),
      conclude: () => this.#conclude(pick % 4 > 0),
      // As by SIGKILL. It begins at its checkpoint, or somewhere else on purpose.
      restart: () => {
        this.#isFirst = false
        this.standing = undefined
        this.#runs = new HandedRuns()
        this.#handedTo = undefined
        this.#first = undefined
        this.#looking = undefined
        this.#seen = undefined
        if (pick % 4 === 0) this.act({ kind: 'jump', pick })
        this.#goTo(pick % 4 === 1 ? [0n, 0n] : this.#checkpoint)
      },
    }
    acts[kind]()
  }

  /** Everybody comes to an end, and more is appended and handed over until the monitor has told all that it knows. */
  end(): void {
    while (this.#open.length > 0) this.#end(0, true)
    for (let round = 0; round < 60; round++) {
      if (round % 10 === 0) {
        this.act({ kind: 'append', pick: 1 })
        this.#end(0, true)
      }
      for (const kind of [
        'read',
        'hand',
        'hand',
        'hand',
        'hand',
        'settle',
        'look',
        'snapshot',
        'conclude',
      ] as const)
        this.act({ kind, pick: 3 })
    }
  }

  /** The first process knows that nothing was handed over before. */
  #begun(): HandedStanding {
    if (this.#isFirst) return standingAbove(0n, this.#settled, { begunAt: 0n })
    return standingAbove((this.#first ?? 0n) - 1n, this.#settled, { passed: this.#kept })
  }

  #end(pick: number, commits: boolean): void {
    const transaction = this.#open[pick % Math.max(1, this.#open.length)]
    this.#open = this.#open.filter((other) => other !== transaction)
    if (transaction === undefined || !commits) return
    const commit = this.#nextCommit++
    for (const { position, type } of transaction.events)
      this.stored.set(position, { transaction: transaction.id, type, commit })
  }

  #events(type?: string): readonly bigint[] {
    return [...this.stored]
      .filter(([, event]) => type === undefined || event.type === type)
      .map(([position]) => position)
      .toSorted(ascending)
  }

  #keyOf(position: bigint): Key {
    const { transaction = 0n, commit = 0n } = this.stored.get(position) ?? {}
    return [this.#order === 'position' ? 0n : this.#order === 'transaction' ? transaction : commit, position]
  }

  #read(limit: number): void {
    if (this.#pages.length > 1) return
    const [oldest = 0n] = [this.#nextTransaction, ...this.#open.map(({ id }) => id)].toSorted(ascending)
    const page = this.#events('a')
      .filter((at) => this.#order !== 'transaction' || (this.stored.get(at)?.transaction ?? 0n) < oldest)
      .filter((at) => compare(this.#keyOf(at), this.#cursor) > 0n)
      .toSorted((a, b) => Number(compare(this.#keyOf(a), this.#keyOf(b))))
      .slice(0, limit)
    const last = page.at(-1)
    if (last === undefined) return
    this.#pages.push(page)
    this.#cursor = this.#keyOf(last)
  }

  #hand(): void {
    const [page] = this.#pages
    const position = page?.[this.#inHand++]
    if (page === undefined || position === undefined) {
      const last = page?.at(-1)
      if (last !== undefined) this.#checkpoint = this.#keyOf(last)
      this.#pages.shift()
      this.#inHand = 0
      return
    }
    this.handed.add(position)
    this.#first ??= position
    this.#runs.add(position)
    if (this.#handedTo === undefined || position > this.#handedTo) this.#handedTo = position
  }

  #goTo(cursor: Key): void {
    this.#cursor = cursor
    this.#pages = []
    this.#inHand = 0
  }

  /** Of what there is to see it sees so much and no more. */
  #snapshot(most: number): void {
    if (this.#looking === undefined || this.#seen) return
    const { before, handedTo } = this.#looking
    const events = this.#events().map((position) => this.#event(position))
    const isOpen = ({ position }: VisibleEvent): boolean =>
      openRuns(before).some(({ from, to }) => from <= position && position <= to)
    this.#seen = {
      appeared: events.filter(isOpen).slice(0, most),
      visible: events
        .filter(({ position }) => position > before.missing.through && position <= handedTo)
        .slice(0, most),
    }
    this.#most = most
  }

  #most = 0

  #conclude(isKept: boolean): void {
    if (this.#looking === undefined || this.#seen === undefined) return
    const { before, handedTo, settled } = this.#looking
    const { appeared, visible } = this.#seen
    const { through } = before.missing
    const [, furthest = through] = [through, handedTo].toSorted(ascending)
    const isFull = visible.length === this.#most
    const last = appeared.at(-1)?.position
    const look = {
      appeared,
      unseen:
        appeared.length < this.#most || last === undefined
          ? []
          : openRuns(before).flatMap(({ from, to }) => {
              const rest = { from: from > last ? from : last + 1n, to }
              return rest.from <= rest.to ? [rest] : []
            }),
      visible,
      through: isFull ? (visible.at(-1)?.position ?? through) : furthest,
    }
    this.#looking = undefined
    this.#seen = undefined
    const seenBy = {
      look,
      isHanded: (position: bigint): boolean => this.#runs.has(position),
      handles: ({ type }: VisibleEvent): boolean => type === 'a',
    }
    const { standing, lost, unsure } = stepHanded(before, {
      ...seenBy,
      settled,
      head: before.begunAt === undefined || hasMissed(seenBy) ? this.#nextPosition - 1n : 0n,
      handedTo,
      atMs: 0,
      previousAtMs: 0,
      heldBy: [],
    })
    this.standing = standing
    this.lost.push(...lost)
    this.falsely.push(...lost.map(({ event }) => event.position).filter((at) => this.handed.has(at)))
    this.unsure.push(...unsure)
    if (isKept) this.#kept = passedOf(standing)
    this.#runs.keep(standing.missing.through, openRuns(standing))
  }

  #event(position: bigint): VisibleEvent {
    const { transaction, type } = this.stored.get(position) ?? {}
    return { position, transaction: this.#order === 'transaction' ? transaction : undefined, type }
  }
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function compare(a: Key, b: Key): bigint {
  return a[0] === b[0] ? a[1] - b[1] : a[0] - b[0]
}
