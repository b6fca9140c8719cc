import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { onTestFinished } from 'vitest'
import type { Random } from '../../core/model/random.ts'
import { nameOf, PROJECTIONS } from '../../programs/nodes-projections.ts'
import { branch } from '../seed.ts'
import type { ChaosStore } from '../store.ts'
import { until } from '../until.ts'

/** Those who rebuild, switch, pause, reshard and retry all the time. */
export interface Operators {
  /** Ends them, and leaves every projection running, with nothing asked for. Throws what they have found to be wrong. */
  stop(): Promise<void>
  /** How often each has done what. */
  readonly done: Readonly<Record<string, number>>
}

const TIMEOUT_MS = 20_000
const MOST_SHARDS = 6

interface By {
  readonly who: string
  readonly why: string
  readonly timeoutMs: number
  /** Fires when nobody is to wait any more. */
  readonly signal: AbortSignal
}

export function startOperators(store: ChaosStore, random: Random): Operators {
  const pool = store.pool({ max: 6 })
  const operations = createOperations({
    checkpoints: postgresCheckpoints({ pool }),
    source: postgresEvents({ pool, table: 'events' }),
  })
  const stopping = new AbortController()
  onTestFinished(() => stopping.abort())
  const by: By = { who: 'chaos', why: 'chaos', timeoutMs: TIMEOUT_MS, signal: stopping.signal }
  const done: Record<string, number> = {}
  const loop = async (what: string, pauseMs: number, turn: (random: Random) => Promise<void>) => {
    const own = branch(random)
    while (!stopping.signal.aborted) {
      await sleep(own.below(pauseMs), undefined, { signal: stopping.signal }).catch(() => {})
      if (stopping.signal.aborted) break
      const answer = await turn(own).then(
        () => what,
        (error: unknown) => notDone(what, error),
      )
      done[answer] = (done[answer] ?? 0) + 1
    }
  }
  const work = Promise.all([
    loop('rebuilt in place', 8_000, () => rebuildInPlace(operations, by)),
    loop('rebuilt beside and switched', 2_000, () => rebuildBeside(operations, by)),
    loop('paused and resumed', 3_000, (own) => pauseOne(store, operations, by, own)),
    loop('retried or discarded letters', 4_000, (own) => closeLetters(operations, by, own)),
    loop('resharded', 3_000, (own) => reshardOne(operations, by, own)),
  ])
  work.catch(() => {})
  return {
    done,
    stop: async () => {
      stopping.abort()
      await work
      await until('nothing is paused and nothing is asked for', () => leaveRunning(operations), 120_000)
    },
  }
}

/** What a wrong answer is told with; other errors are those of a server that is away. */
class WrongAnswer extends Error {}

function notDone(what: string, error: unknown): string {
  if (error instanceof WrongAnswer) throw error
  const code = hasCode(error, 'TIDEMARK_OPERATION_REFUSED')
    ? `refused (${(error as Error).message})`
    : 'not done'
  return `${what}: ${code}`
}

async function rebuildInPlace(operations: Operations<bigint>, by: By): Promise<void> {
  for (const { name, rebuilt } of PROJECTIONS) {
    if (rebuilt === 'in place') await operations.rebuild({ ...by, projection: name })
  }
}

/** The version beside the live one is built anew, and is the live one then. */
async function rebuildBeside(operations: Operations<bigint>, by: By): Promise<void> {
  for (const { name: projection, rebuilt } of PROJECTIONS) {
    if (rebuilt !== 'beside') continue
    const units = await operations.list()
    const beside = units.find(({ unit, role }) => unit.projection === projection && role === 'beside')
    if (beside === undefined) continue
    const asked = { ...by, projection, version: beside.unit.version }
    if (beside.asked !== undefined) await operations.cancel(asked)
    await operations.rebuild(asked)
    await operations.switchTo(asked)
  }
}

async function reshardOne(operations: Operations<bigint>, by: By, random: Random): Promise<void> {
  const chosen = random.pick(PROJECTIONS.filter(({ shards }) => shards?.isResharded === true))
  if (chosen === undefined) return
  const shards = 1 + random.below(MOST_SHARDS)
  await operations.reshard({ ...by, projection: chosen.name, shards })
}

/** While it is paused nothing of it is committed. */
async function pauseOne(
  store: ChaosStore,
  operations: Operations<bigint>,
  by: By,
  random: Random,
): Promise<void> {
  const { name: projection } = random.pick(PROJECTIONS.filter(({ rebuilt }) => rebuilt === undefined)) ?? {}
  if (projection === undefined) return
  const asked = { ...by, projection }
  const arrived = async (): Promise<number> => {
    const { rows } = await store.query('select count(*)::int as n from handled where projection = $1', [
      nameOf(projection, 1),
    ])
    return rows[0].n
  }
  await operations.pause(asked)
  try {
    const before = await arrived()
    await sleep(random.below(1_500))
    const after = await arrived()
    if (after !== before) {
      throw new WrongAnswer(`"${projection}" handled ${after - before} events while it was paused`)
    }
  } finally {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    await until(`"${projection}" is resumed`, async () => await operations.resume({ ...asked, signal }))
  }
}

async function closeLetters(operations: Operations<bigint>, by: By, random: Random): Promise<void> {
  const open = await operations.deadLetters.list({ state: 'open', limit: 1_000 })
  const chosen = random.pick(open)
  if (chosen === undefined) return
  const { who, why } = by
  if (random.chance(0.2)) await operations.deadLetters.discard({ who, why, ids: [chosen.id] })
  else await operations.deadLetters.retry({ ...by, projection: chosen.projection })
}

/** Also what is still asked for. */
async function leaveRunning(operations: Operations<bigint>): Promise<boolean> {
  const units = await operations.list()
  for (const { unit, desired, asked } of units) {
    const { projection, version } = unit
    const request = { projection, version, who: 'chaos', why: 'chaos is over' }
    if (desired === 'paused') await operations.resume(request)
    if (asked !== undefined) await operations.cancel(request)
  }
  return units.every(({ desired, asked, isRetryAsked }) => desired === 'running' && !asked && !isRetryAsked)
}
