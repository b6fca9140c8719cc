import type { Subject } from './faults.ts'
import { type Harm, Judge, Violation } from './judge.ts'
import { OPERATIONS, type Operation } from './operations.ts'
import { Random, streamOf } from './random.ts'
import { drawSetting, type Setting } from './setting.ts'
import { World } from './world.ts'

export interface Outcome {
  readonly violation: Violation | undefined
  /** The step that did the harm; the number of steps where it showed at rest. */
  readonly at: number
  readonly setting: Setting
  readonly events: number
  readonly crashes: number
  readonly trace: readonly string[]
}

export interface HistoryOptions {
  readonly seed: number
  readonly subject: Subject
  /** Looks for this harm only. */
  readonly harm?: Harm | undefined
  /** The steps that are taken; all of them by default. */
  readonly steps?: readonly number[] | undefined
  readonly traced?: boolean
}

/** One random history, from nothing to rest. The same seed gives the same one. */
export function runHistory({ seed, subject, harm, steps, traced = false }: HistoryOptions): Outcome {
  const setting = drawSetting(new Random(seed))
  const draw = operationsByWeight(setting)
  const world = new World(setting, subject, new Judge(harm))
  const trace: string[] = []
  const count = steps ? steps.length : setting.steps
  let at = 0
  let violation: Violation | undefined
  try {
    for (; at < count; at++) {
      const step = steps?.[at] ?? at
      const random = streamOf(seed, step)
      const operation = draw(random)
      OPERATIONS[operation].run(world, random)
      if (traced) trace.push(`${step} ${operation}: ${describe(world)}`)
    }
    world.comeToRest(streamOf(seed, -1))
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    violation = error
  }
  return {
    violation,
    at,
    setting,
    events: world.server.table.everInserted.length,
    crashes: world.crashes,
    trace,
  }
}

const ALL = Object.keys(OPERATIONS) as Operation[]

function operationsByWeight({ weights }: Setting): (random: Random) => Operation {
  const each = ALL.map((operation) => weights[operation])
  const total = each.reduce((sum, weight) => sum + weight, 0)
  return (random) => {
    let left = random.next() * total
    let index = 0
    for (const weight of each) {
      left -= weight
      if (left < 0) break
      index++
    }
    return ALL[index] ?? 'pollStep'
  }
}

function describe({ server, daemon }: World): string {
  const open = server.transactions.map((t) => {
    const numbers = t.events
      .map((event) => `${event.position}${event.state === 'empty' ? '-' : ''}`)
      .join(',')
    return `${t.virtualId} ${t.phase}${t.holdsLock ? ' locked' : ''} [${numbers}]`
  })
  const { reading } = daemon.agent
  const read = reading ? `settled ${reading.settled} mark ${reading.mark}` : 'no reading'
  const { inserted, flushed } = server.wal
  return `last ${server.sequence.last}, wal ${flushed}/${inserted}, ${read}; ${open.join('; ')}`
}
