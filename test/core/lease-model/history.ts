import { assign } from '../../../packages/core/src/ownership/assignment.ts'
import { unitKey } from '../../../packages/core/src/ports/unit.ts'
import { Random } from '../model/random.ts'
import type { Subject } from './subject.ts'
import { type Harm, LEASE_MS, Violation, World } from './world.ts'

const STEPS = 400

export interface Ended {
  readonly steps: number
  readonly moves: number
  readonly harm: Harm | undefined
}

/** A schedule of everything that may happen, by its seed; then everything is well, and has to settle. */
export function runHistory(subject: Subject, seed: number): Ended {
  const random = new Random(seed)
  const world = new World(subject, random, 1 + random.below(5))
  let steps = 0
  try {
    for (let first = 1 + random.below(3); first > 0; first--) world.start(lackingOf(world, random))
    for (; steps < STEPS; steps++) step(world, random)
    steps += settle(world, random)
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    return { steps, moves: world.moves, harm: error.harm }
  }
  return { steps, moves: world.moves, harm: undefined }
}

/** A node without the newest projection. */
const lackingOf = ({ units }: World, random: Random) => (random.chance(0.2) ? units.at(-1) : undefined)

function step(world: World, random: Random): void {
  const choice = random.next()
  if (choice < 0.3) world.execute()
  else if (choice < 0.55) world.deliver()
  else if (choice < 0.72) world.advance(random.chance(0.05) ? random.below(2 * LEASE_MS) : random.below(250))
  else if (choice < 0.8) world.begin()
  else if (choice < 0.9) world.end()
  else if (choice < 0.94) world.finish()
  else fault(world, random)
}

function fault(world: World, random: Random): void {
  const running = random.pick(world.running)
  switch (random.below(10)) {
    case 0:
      world.execute(true)
      break
    case 1:
      world.deliver(true)
      break
    case 2:
      if (running) world.freeze(running)
      break
    case 3:
    case 4: {
      const frozen = random.pick(world.nodes.filter(({ life }) => life === 'frozen'))
      if (frozen) world.thaw(frozen)
      break
    }
    case 5:
      if (running && random.chance(0.3)) world.kill(running)
      break
    case 6:
      if (running && random.chance(0.3)) world.stop(running)
      break
    case 7:
      if (world.living.length < 4) world.start(lackingOf(world, random))
      break
    case 8:
      if (running) world.cull(running)
      break
    case 9:
      if (running) world.disable(running)
  }
}

/** How long everything is well before it has to have settled: a lease of the dead, and some looks. */
const SETTLING_MS = 4 * LEASE_MS
const WATCHED_MS = 2 * LEASE_MS

function settle(world: World, random: Random): number {
  for (const process of world.nodes) {
    if (process.life === 'frozen') world.thaw(process)
    if (random.chance(0.5)) process.unable.clear()
  }
  world.bury()
  let steps = 0
  const well = (ms: number): void => {
    for (const untilMs = world.nowMs + ms; world.nowMs < untilMs; world.advance(50)) {
      for (let isMoving = true; isMoving; steps++) {
        while (world.end()) steps++
        world.finish()
        isMoving = world.execute() || world.deliver()
        if (steps > 20_000) throw new Violation('it never settles')
      }
    }
  }
  well(SETTLING_MS)
  const { moves } = world
  const owners = world.units.map((unit) => world.store.ownerOf(unitKey(unit)))
  for (const [index, unit] of world.units.entries()) requireWorker(world, unitKey(unit), owners[index])
  well(WATCHED_MS)
  if (world.moves !== moves) throw new Violation('it never settles')
  const nodes = world.running.filter(({ standing }) => standing.life === 'in')
  const hasAll = ({ units, unable }: (typeof nodes)[number]): boolean =>
    units.length === world.units.length && unable.size === 0
  if (nodes.length > 0 && nodes.every(hasAll)) {
    world.start()
    well(SETTLING_MS)
    // Its share, rounded down.
    const most = Math.floor(world.units.length / (nodes.length + 1))
    if (world.moves - moves > most) throw new Violation('more units moved than had to')
  }
  return steps
}

function requireWorker({ running, units }: World, key: string, owner: string | undefined): void {
  const may = running.filter(
    (process) => process.units.includes(key) && !process.unable.has(key) && process.standing.life === 'in',
  )
  const workers = running.filter(({ mayWork }) => mayWork.has(key))
  const isRight =
    may.length === 0
      ? workers.length === 0
      : workers.length === 1 && workers[0]?.id === owner && may.some(({ id }) => id === owner)
  if (!isRight) throw new Violation('nobody works on a unit, or not who should')
  if (units.length > 0 && !isEven(running, units.map(unitKey))) throw new Violation('it never settles')
}

/** What the nodes have is what they would be given. */
function isEven(running: World['running'], units: readonly string[]): boolean {
  const held = new Map(
    running.flatMap(({ id, mayWork }) => [...mayWork.keys()].map((key) => [key, id] as const)),
  )
  const nodes = running
    .filter(({ standing }) => standing.life === 'in')
    .map(({ id, units: has, unable }) => ({
      id,
      has: (unit: string) => has.includes(unit) && !unable.has(unit),
      capacity: 1,
      standing: 'open' as const,
    }))
  const wanted = assign({ units, nodes, held })
  return [...held].every(([unit, id]) => wanted.get(unit) === id)
}
