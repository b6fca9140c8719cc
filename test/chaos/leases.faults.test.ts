import { kill } from 'node:process'
import { expect, test } from 'vitest'
import { append } from './events.ts'
import { expectExact } from './oracle.ts'
import { owned, untilOwned } from './owned-units.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'

const NAMES = ['all', 'second', 'third', 'fourth']
const PROJECTIONS = NAMES.map((name) => ({ name }))
const TRIES = 4

const spawnNode = (
  store: ChaosStore,
  options: Readonly<Record<string, string>> = {},
): Promise<DaemonProcess> =>
  spawnDaemon({ url: store.url, projections: NAMES.join(','), 'lease-ms': '10000', ...options })

async function untilSeen(store: ChaosStore, { pid }: DaemonProcess): Promise<void> {
  await until('it is seen', async () => {
    const { rows } = await store.query('select presence_pid from tidemark.nodes where name = $1', [
      String(pid),
    ])
    return rows[0]?.presence_pid
  })
}

/** Milliseconds until each unit that it had has another owner. */
async function takenOverIn(store: ChaosStore, { pid }: DaemonProcess, end: () => unknown): Promise<number> {
  const client = await store.connect()
  const startedMs = performance.now()
  end()
  for (;;) {
    const { rows } = await client.query(
      `select count(*)::int as left from tidemark.checkpoints c
       left join tidemark.nodes n on n.id = c.owner where c.owner is null or n.name = $1`,
      [String(pid)],
    )
    if (rows[0].left === 0) break
    if (performance.now() - startedMs > 30_000) throw new Error('nobody takes over')
  }
  const ms = performance.now() - startedMs
  await client.end()
  return ms
}

const told = (what: string, ms: readonly number[]): void => {
  const sorted = ms.toSorted((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
  console.info(`${what}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(1)} ms of ${ms.length}`)
}

test('of three processes one is killed, and one stopped, again and again: others take over before its lease ends, nothing is lost or twice', async () => {
  const store = await chaosStore()
  const nodes = [await spawnNode(store), await spawnNode(store), await spawnNode(store)]
  const killed: number[] = []
  const stopped: number[] = []
  for (let n = 0; n < TRIES; n++) {
    for (const node of nodes) await untilSeen(store, node)
    await until('each has something', async () => (await owned(store, nodes)).every((units) => units > 0))
    await append(store, 20)
    const [victim] = nodes.splice(n % 3, 1)
    if (victim === undefined) throw new Error('there are three')
    const isKilled = n % 2 === 0
    const ms = await takenOverIn(store, victim, () => (isKilled ? victim.kill() : victim.terminate()))
    ;(isKilled ? killed : stopped).push(ms)
    // Sooner than a lease, whatever else the machine does.
    expect(ms).toBeLessThan(8_000)
    nodes.push(await spawnNode(store))
  }
  told('killed', killed)
  told('stopped', stopped)
  await append(store, 20)
  await expectExact(PROJECTIONS, store)
})

test('a process that sleeps past its lease is replaced; when it wakes, between batches or in the middle of one, it writes nothing twice', async () => {
  const store = await chaosStore()
  const options = { 'lease-ms': '2000', 'handle-ms': '100', 'batch-size': '5' }
  const nodes = [await spawnNode(store, options), await spawnNode(store, options)]
  const [zombie, other] = nodes
  if (zombie === undefined || other === undefined) throw new Error('there are two')
  for (let n = 0; n < TRIES; n++) {
    await untilOwned(store, nodes, [2, 2])
    for (const node of nodes) await untilSeen(store, node)
    if (n % 2 === 1) {
      let isHandling = false
      void zombie.says('handling').then(() => {
        isHandling = true
      })
      await until('it is in a batch', async () => {
        if (!isHandling) await append(store, 5)
        return isHandling
      })
    }
    kill(zombie.pid, 'SIGSTOP')
    await append(store, 10)
    await until('its lease has expired', async () => await hasExpired(store, zombie))
    // What it holds a lock on waits for it.
    if (n % 2 === 0) await untilOwned(store, nodes, [0, NAMES.length])
    kill(zombie.pid, 'SIGCONT')
    await append(store, 10)
    await expectExact(PROJECTIONS, store)
  }
  for (const node of nodes) expect(await node.terminate()).toBe(0)
})

async function hasExpired(store: ChaosStore, { pid }: DaemonProcess): Promise<boolean> {
  const { rows } = await store.query(
    'select expires_at < clock_timestamp() as over from tidemark.nodes where name = $1',
    [String(pid)],
  )
  return rows[0]?.over === true
}
