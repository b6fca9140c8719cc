import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { Random } from '../../core/model/random.ts'
import { COMMITS_TABLE } from '../../programs/nodes-commits.ts'
import { startProxy } from '../proxy.ts'
import { branch } from '../seed.ts'
import { chaosStore } from '../store.ts'
import { until } from '../until.ts'
import { startBystanders, startWriters } from '../writers.ts'
import { hasAllBegun, readAccounts, readCommits, whatIsLeft } from './accounts.ts'
import { type FaultLog, type Struck, strike } from './faults.ts'
import { ChaosNode } from './node.ts'
import { startOperators } from './operators.ts'
import { commitsOfOthers } from './owners.ts'
import { NODES, scheduleOf } from './schedule.ts'
import { faultsOf } from './verdict.ts'

const WRITERS = 8
/** So that two cores also keep up with 19 units, four processes and the faults. */
const PAUSE_MS = 200
/** Faults do not come before: on a busy machine they would strike processes that have not begun. */
const BEGUN_WITHIN_MS = 300_000
/** Aimed at is half a minute; a machine that is busy with something else is no fault. */
const CAUGHT_UP_WITHIN_MS = 600_000
/** It counts every row. */
const LOOK_EVERY_MS = 500
const TOLD_FAULTS = 25
const TOLD_CHARACTERS = 1_000

/** Four nodes under writers, operators and a fault each second, for that long; then all is counted. */
export async function chaosOfNodes(seed: number, forMs: number): Promise<void> {
  const log: FaultLog = []
  const store = await chaosStore({ max_connections: '200' })
  await store.query(
    `alter table events add column key text generated always as (left(id, 2)) stored;
     create index on handled (projection);
     create table switches (n bigserial, live int, first bigint, second bigint);
     ${COMMITS_TABLE}`,
  )
  const proxies = await Promise.all(Array.from({ length: NODES }, () => startProxy(store)))
  const nodes = proxies.map(({ url }) => new ChaosNode(url))
  const struck: Struck = { store, nodes, proxies }
  const random = new Random(seed)
  try {
    for (const node of nodes) node.start()
    startBystanders(store)
    const writers = startWriters(store, {
      random: branch(random),
      writers: WRITERS,
      pauseMs: PAUSE_MS,
      isVaried: true,
    })
    await until('everything has begun', async () => await hasAllBegun(store), BEGUN_WITHIN_MS)
    const operators = startOperators(store, branch(random))
    await strike(struck, scheduleOf(seed, forMs), log)
    const struckMs = performance.now()
    await Promise.all([writers.stop(), restore(struck)])
    console.info(
      `${since(struckMs)} after the last of ${log.length} faults nobody writes, and all nodes are deployed`,
    )
    const deployedMs = performance.now()
    await operators.stop()
    console.info(`${since(deployedMs)} later nothing is paused and nothing is asked for`)
    await untilCaughtUp(struck)
    console.info(
      `all had caught up ${since(struckMs)} after the last fault, and ${since(deployedMs)} after the last deploy`,
    )
    console.info(`operators: ${JSON.stringify(operators.done)}`)
    await expectNothingWrong(struck)
    await writers.expectAcknowledged()
  } catch (error) {
    console.error(`with the seed ${seed}; the last faults:\n${log.slice(-TOLD_FAULTS).join('\n')}`)
    throw error
  }
  for (const node of nodes) await node.terminate()
  expect(nodes.flatMap((node) => node.faults)).toEqual([])
}

const since = (ms: number): string => `${((performance.now() - ms) / 1_000).toFixed(1)} s`

/** Every node runs, of the newest release. */
async function restore({ nodes }: Struck): Promise<void> {
  for (const node of nodes) {
    node.thaw()
    if (!node.isEarlier) continue
    await node.terminate()
    node.start(false)
  }
}

async function untilCaughtUp(struck: Struck): Promise<void> {
  const { store, nodes } = struck
  try {
    await until(
      'all have caught up',
      async () => {
        await sleep(LOOK_EVERY_MS)
        return Object.keys(await whatIsLeft(store)).length === 0
      },
      CAUGHT_UP_WITHIN_MS,
    )
  } catch (error) {
    const left = JSON.stringify(await whatIsLeft(store))
    const accounts = await readAccounts(store)
    const wrong = accounts.map((account) => `${account.name}: ${JSON.stringify(faultsOf(account))}`)
    const { rows: units } = await store.query(
      'select * from tidemark.checkpoints order by projection, version',
    )
    const { rows: sessions } = await store.query(
      `select pid, application_name, state, wait_event, now() - xact_start as since, pg_blocking_pids(pid) as behind, left(query, 100) as query
       from pg_stat_activity where backend_type = 'client backend' and state <> 'idle'`,
    )
    const said = await Promise.all(
      nodes.map(async (node, n) => `node ${n}: ${await node.status()}\n${node.lines.join('\n')}`),
    )
    console.error(
      [
        `left to do: ${left}`,
        ...wrong.map((line) => line.slice(0, TOLD_CHARACTERS)),
        ...units.map((row) => JSON.stringify(row)),
        ...sessions.map((row) => JSON.stringify(row)),
        ...said,
      ].join('\n'),
    )
    throw error
  }
}

async function expectNothingWrong({ store, nodes }: Struck): Promise<void> {
  const accounts = await readAccounts(store)
  for (const { name, committed, arrived, letters } of accounts) {
    console.info(
      JSON.stringify({ name, committed: committed.length, arrived: arrived.length, letters: letters.length }),
    )
    expect(committed.length, name).toBeGreaterThan(0)
  }
  expect(Object.fromEntries(accounts.map((account) => [account.name, faultsOf(account)]))).toEqual(
    Object.fromEntries(accounts.map(({ name }) => [name, {}])),
  )
  const commits = await readCommits(store)
  expect(commits.length).toBeGreaterThan(0)
  expect(commitsOfOthers(commits), `of ${commits.length} commits`).toEqual([])
  const { rows } = await store.query('select first, second from switches where first <> second')
  expect(rows, 'what both versions had at a switch').toEqual([])
  expect(nodes.flatMap((node) => node.faults)).toEqual([])
}
