import type { CheckpointStore, Daemon, ProjectionStatus } from '@tidemark/core'
import { afterEach, expect, test, vi } from 'vitest'
import { alteredCheckpoints, type Rig, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  vi.restoreAllMocks()
})

const QUICK = Array.from({ length: 22 }, (_, index) => `projection ${index}`)
const SLOW = 'slow'
const NAMES = [...QUICK, SLOW]
const OPENS_IN_MS = 30_000
const LEASE_MS = 10_000
/** A node renews three times in a lease. */
const TWO_RENEWALS_MS = (2 * LEASE_MS) / 3

interface Node {
  readonly daemon: Daemon<bigint>
  /** By projection. */
  readonly seen: ReadonlyMap<string, readonly bigint[]>
  /** What it has the lease of. */
  owned(): readonly ProjectionStatus<bigint>[]
}

/** One of its projections takes long to be opened, as where its table is locked. */
function slowlyOpened({ checkpoints, clock }: Rig): CheckpointStore<undefined> {
  const { leases } = checkpoints
  if (leases === undefined) throw new Error('it has leases')
  return alteredCheckpoints(checkpoints, {
    leases,
    open: async (unit, first, signal) => {
      if (unit.projection === SLOW) await clock.sleep(OPENS_IN_MS, signal)
      return await checkpoints.open(unit, first, signal)
    },
  })
}

/** Nodes that come and go, and how often one was given something. */
function nodesOf(parts: Rig) {
  const { clock, events } = parts
  // The clock of the store.
  vi.spyOn(Date, 'now').mockImplementation(() => clock.nowMs())
  const checkpoints = slowlyOpened(parts)
  const nodes: Node[] = []
  const all: Node[] = []
  let appended = 0
  let grants = 0

  const isSettled = (): boolean => {
    const owned = nodes.map((node) => node.owned())
    const sizes = owned.map(({ length }) => length)
    const here = owned.flat()
    return (
      Math.max(...sizes) - Math.min(...sizes) <= 1 &&
      here.length === NAMES.length &&
      new Set(here.map(({ name }) => name)).size === NAMES.length &&
      here.every(({ name, state }) => name === SLOW || state === 'live' || state === 'catching_up')
    )
  }

  /** Resolves to how often one was given something meanwhile. */
  const settles = async (change: () => Promise<void>): Promise<number> => {
    const before = grants
    await change()
    const changedAtMs = clock.nowMs()
    await clock.until(isSettled)
    expect(clock.nowMs() - changedAtMs).toBeLessThanOrEqual(TWO_RENEWALS_MS)
    const moved = grants - before
    await clock.advance(LEASE_MS / 2)
    expect(grants - before, 'nothing moves any more').toBe(moved)
    return moved
  }

  const join = async (name: string): Promise<void> => {
    const projections = NAMES.map((each) => recording(each))
    const daemon = parts.daemon(projections, {
      nodes: { name, leaseMs: LEASE_MS },
      checkpoints,
      pollIntervalMs: 10_000,
      telemetry: { leaseGranted: () => grants++ },
    })
    const node: Node = {
      daemon,
      seen: new Map(projections.map((projection) => [projection.name, projection.seen])),
      owned: () => daemon.status().projections.filter(({ lease }) => lease?.isHere),
    }
    nodes.push(node)
    all.push(node)
    await daemon.start()
  }

  /** The one that came first. */
  const leave = async (): Promise<void> => {
    const [first] = nodes.splice(0, 1)
    if (first) await clock.run(first.daemon.stop())
  }

  const handledBy = (name: string): readonly bigint[] =>
    all.flatMap(({ seen }) => seen.get(name) ?? []).toSorted((a, b) => Number(a - b))

  return {
    settles,
    join,
    leave,
    /** One more event, which all but the slow one handle soon. */
    append: async (): Promise<void> => {
      events.append('a', ++appended)
      const appendedAtMs = clock.nowMs()
      await clock.until(() => QUICK.every((name) => handledBy(name).length === appended))
      expect(clock.nowMs() - appendedAtMs).toBeLessThan(LEASE_MS)
    },
    expectEachOnce: async (): Promise<void> => {
      await clock.until(() => NAMES.every((name) => handledBy(name).length >= appended))
      const numbers = Array.from({ length: appended }, (_, index) => BigInt(index + 1))
      for (const name of NAMES) expect(handledBy(name)).toEqual(numbers)
    },
    isOpen: () => nodes.some((node) => node.owned().some(({ name }) => name === SLOW)),
    sizeOfFirst: () => nodes[0]?.owned().length ?? 0,
  }
}

test('nodes that come, and are replaced one by one, settle at once with the fewest moves; what opens slowly holds up nothing else', async () => {
  const parts = rig()
  const { settles, join, leave, append, expectEachOnce, isOpen, sizeOfFirst } = nodesOf(parts)
  await join('a')
  await append()
  expect(isOpen()).toBe(false)
  await parts.clock.until(isOpen)
  for (const [index, name] of ['b', 'c', 'd', 'e'].entries()) {
    const share = Math.floor(NAMES.length / (index + 2))
    expect(await settles(() => join(name)), name).toBeLessThanOrEqual(share)
    await append()
  }
  for (const name of ['f', 'g', 'h']) {
    const size = sizeOfFirst()
    expect(await settles(leave), `before ${name}`).toBeLessThanOrEqual(size)
    expect(await settles(() => join(name)), name).toBeLessThanOrEqual(Math.floor(NAMES.length / 5))
    await append()
  }
  await expectEachOnce()
})
