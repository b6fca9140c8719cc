import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { poisonId } from '../../programs/nodes-projections.ts'
import type { Proxy as FaultyProxy } from '../proxy.ts'
import type { ChaosStore } from '../store.ts'
import { until } from '../until.ts'
import type { ChaosNode } from './node.ts'
import { describeFault, type Fault } from './schedule.ts'

/** All that faults strike. */
export interface Struck {
  readonly store: ChaosStore
  readonly nodes: readonly ChaosNode[]
  /** Of each node, between it and the server. */
  readonly proxies: readonly FaultyProxy[]
}

/** What was done, for people. */
export type FaultLog = string[]

/**
 * Carries the faults out, each at its time. One that strikes a node, or the server, waits until the one before it there is
 * over. Resolves when all are.
 */
export async function strike(struck: Struck, faults: readonly Fault[], log: FaultLog): Promise<void> {
  const startedMs = performance.now()
  const passedMs = (): number => performance.now() - startedMs
  const lanes = new Map<string, Promise<void>>()
  for (const fault of faults) {
    await sleep(Math.max(0, fault.atMs - passedMs()))
    const lane = laneOf(fault)
    const before = lanes.get(lane) ?? Promise.resolve()
    const struckThere = before.then(async () => {
      const begunMs = passedMs()
      const missed = await carryOut(struck, fault)
      const from = (begunMs / 1_000).toFixed(1)
      const to = (passedMs() / 1_000).toFixed(1)
      log.push(`${describeFault(fault)} from ${from} to ${to} s${missed === undefined ? '' : `: ${missed}`}`)
    })
    // Told where all are waited for.
    struckThere.catch(() => {})
    lanes.set(lane, struckThere)
  }
  await Promise.all(lanes.values())
}

function laneOf(fault: Fault): string {
  if ('node' in fault) return `node ${fault.node}`
  if (fault.kind === 'crash' || fault.kind === 'promotion') return 'server'
  // They wait for none of their kind.
  return fault.kind === 'terminate' ? fault.kind : `${fault.kind} ${fault.atMs}`
}

/** Resolves to why it was not to be had, where that is so. */
async function carryOut({ store, nodes, proxies }: Struck, fault: Fault): Promise<string | undefined> {
  const node = 'node' in fault ? nodes[fault.node] : undefined
  const proxy = 'node' in fault ? proxies[fault.node] : undefined
  switch (fault.kind) {
    case 'kill':
      await node?.kill()
      await sleep(fault.awayMs)
      node?.start()
      return undefined
    case 'freeze':
      node?.freeze()
      await sleep(fault.forMs)
      node?.thaw()
      return undefined
    case 'deploy':
      await node?.terminate()
      node?.start(fault.isEarlier)
      return undefined
    case 'silence':
      if (fault.of === 'both ways') proxy?.silence()
      else proxy?.swallowAnswers()
      await sleep(fault.forMs)
      proxy?.cutSilent()
      return undefined
    case 'clock':
      node?.tell(fault)
      return undefined
    case 'mischief':
      for (const each of nodes) each.tell(fault)
      await sleep(fault.forMs)
      return undefined
    case 'terminate':
      return await terminateAny(store, fault.choice).catch(String)
    case 'poison': {
      const missed = await appendPoison(store, fault.events, fault.forMs).catch(String)
      await sleep(fault.forMs)
      return missed
    }
    case 'crash':
      await store.server.stop('immediate')
      await store.server.start()
      return undefined
    case 'promotion':
      return await promote(store)
  }
}

async function terminateAny(store: ChaosStore, choice: number): Promise<string | undefined> {
  const { rows } = await store.query(
    `select pg_terminate_backend(pid), application_name as of, left(query, 60) as query from (
       select *, row_number() over (order by pid) - 1 as n, count(*) over () as all_of_them
       from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
     ) as sessions where n = $1 % all_of_them`,
    [choice],
  )
  return JSON.stringify(rows[0])
}

async function appendPoison(store: ChaosStore, events: number, forMs: number): Promise<undefined> {
  const untilMs = performance.timeOrigin + performance.now() + forMs
  await store.query(`insert into events (id, type) select id, 'poison' from unnest($1::text[]) as id`, [
    Array.from({ length: events }, () => poisonId(randomUUID(), untilMs)),
  ])
}

/** With no primary to follow, a standby waits for more of the log than it has, until it is promoted. */
async function promote(store: ChaosStore): Promise<undefined> {
  const { server } = store
  await server.stop('fast')
  await writeFile(join(server.dataDir, 'standby.signal'), '', { mode: 0o666 })
  await server.start()
  await until('the standby is promoted', async () => {
    const { rows } = await store.query('select pg_is_in_recovery() as is')
    if (rows[0].is) await store.query('select pg_promote()')
    return !rows[0].is
  })
}
