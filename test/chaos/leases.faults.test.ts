import { kill } from 'node:process'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { eventsOf, projection, startDaemon } from './daemons.ts'
import { append } from './events.ts'
import { expectExact } from './oracle.ts'
import { owned, untilOwned } from './owned-units.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { startProxy } from './proxy.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { gate, until } from './until.ts'

const NAMES = ['all', 'second', 'third', 'fourth']
const PROJECTIONS = NAMES.map((name) => ({ name }))
const TRIES = 4

const spawnNode = (
  store: ChaosStore,
  options: Readonly<Record<string, string | true>> = {},
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

/** By projection. */
async function fences(store: ChaosStore): Promise<ReadonlyMap<string, number>> {
  const { rows } = await store.query('select projection, fence::int from tidemark.checkpoints')
  return new Map(rows.map(({ projection, fence }) => [String(projection), Number(fence)]))
}

async function mostMoves(store: ChaosStore, before: ReadonlyMap<string, number>): Promise<number> {
  const now = await fences(store)
  return Math.max(...NAMES.map((name) => (now.get(name) ?? 0) - (before.get(name) ?? 0)))
}

/** When the lease of each node ends, in milliseconds of the server's clock. */
async function expiries(store: ChaosStore): Promise<readonly number[]> {
  const { rows } = await store.query(
    'select extract(epoch from expires_at)::float8 * 1000 as ms from tidemark.nodes where not has_left order by id',
  )
  return rows.map(({ ms }) => Number(ms))
}

test('a handler that keeps the event loop busy for longer than two leases costs no event; its node says so, and what has moved comes back once', async () => {
  const store = await chaosStore()
  const leaseMs = 2_000
  const options = { 'lease-ms': String(leaseMs), 'block-ms': '4500', log: true } as const
  const nodes = [await spawnNode(store, options), await spawnNode(store, options)]
  await untilOwned(store, nodes, [2, 2])
  const before = await fences(store)
  /** Each explains a move there and back. A machine that is as busy as that handler brings more of them. */
  const losses = (): number =>
    nodes
      .flatMap(({ said }) => said)
      .filter((line) => /stops work at|cannot be renewed|cannot keep/.test(line)).length
  const expectExplained = async (since: ReadonlyMap<string, number>, known: number): Promise<void> => {
    await until(
      'each move is explained',
      async () => (await mostMoves(store, since)) <= 2 * (losses() - known),
    )
  }
  await store.query("insert into events (id, type) values ('long', 'blocks all')")
  await append(store, 10)
  await until('its node says why', () =>
    nodes.some(({ said }) => said.some((line) => line.includes('kept its event loop busy'))),
  )
  await append(store, 10)
  await expectExact(PROJECTIONS, store)
  await untilOwned(store, nodes, [2, 2])
  await expectExplained(before, 0)

  const [settled, known] = [await fences(store), losses()]
  const renewedAt = await expiries(store)
  await until('they have renewed for two leases', async () => {
    const now = await expiries(store)
    return now.every((ms, index) => ms >= (renewedAt[index] ?? 0) + 2 * leaseMs)
  })
  await untilOwned(store, nodes, [2, 2])
  await expectExplained(settled, known)
})

test('a handler that keeps the event loop busy for longer than two leases at each batch comes to its end, and moves no more often than it has batches', async () => {
  const store = await chaosStore()
  const options = { 'lease-ms': '1000', 'block-ms': '2500', 'batch-size': '1', log: true } as const
  const nodes = [await spawnNode(store, options), await spawnNode(store, options)]
  await untilOwned(store, nodes, [2, 2])
  const before = await fences(store)
  const BATCHES = 6
  await store.query(
    `insert into events (id, type) select 'long ' || n, 'blocks all' from generate_series(1, ${BATCHES}) n`,
  )
  await expectExact(PROJECTIONS, store)
  const moves = ((await fences(store)).get('all') ?? 0) - (before.get('all') ?? 0)
  expect(moves).toBeLessThanOrEqual(BATCHES)
  expect(nodes.some(({ said }) => said.some((line) => line.includes('kept its event loop busy')))).toBe(true)
  await untilOwned(store, nodes, [2, 2])
})

test.each(['is idle', 'is in the middle of a batch'] as const)(
  'a node whose cable is pulled while it %s is replaced when its lease has expired, not before, and nothing is handled twice',
  async (when) => {
    const store = await chaosStore()
    const leaseMs = 2_000
    const proxy = await startProxy(store)
    const pool = store.pool({ connectionString: proxy.url })
    const handling = gate()
    onTestFinished(() => handling.open())
    let held: string | undefined
    const projections = NAMES.map((name) => projection(name))
    await startDaemon(store, {
      source: eventsOf(pool),
      checkpoints: postgresCheckpoints({ pool }),
      nodes: { name: 'silent', leaseMs },
      projections: projections.map((each) => ({
        ...each,
        handle: async (events, context) => {
          await each.handle(events, context)
          if (each.name === held) await handling.pass()
        },
      })),
    })
    await startDaemon(store, { nodes: { name: 'other', leaseMs }, projections })
    const unitsOf = async (name: string): Promise<readonly string[]> => {
      const { rows } = await store.query(
        'select c.projection from tidemark.checkpoints c join tidemark.nodes n on n.id = c.owner where n.name = $1',
        [name],
      )
      return rows.map(({ projection }) => String(projection))
    }
    const untilShared = async (): Promise<void> => {
      await until(
        'each has two',
        async () => (await unitsOf('silent')).length === 2 && (await unitsOf('other')).length === 2,
      )
    }
    await append(store, 10)
    await untilShared()
    await expectExact(PROJECTIONS, store)

    if (when === 'is in the middle of a batch') {
      ;[held] = await unitsOf('silent')
      handling.shut()
      await append(store, 5)
      await handling.reached
      // Nothing else of that node is at hand, and keeps a lock.
      await expectExact(
        PROJECTIONS.filter(({ name }) => name !== held),
        store,
      )
    }
    proxy.pullCable()
    await append(store, 10)
    let isEarly = false
    const untilOtherHas = async (units: number): Promise<void> => {
      await until(`the other has ${units}`, async () => {
        const { rows } = await store.query(
          `select (select count(*)::int from tidemark.checkpoints c join tidemark.nodes o on o.id = c.owner where o.name = 'other') as units,
            (select s.expires_at > clock_timestamp() from tidemark.nodes s where s.name = 'silent') as "isTrusted"`,
        )
        const [{ units: has, isTrusted }] = rows
        if (has > 2 && isTrusted) isEarly = true
        return has === units
      })
    }
    if (held !== undefined) {
      // The server holds the lock of what was at hand until it notices.
      await untilOtherHas(NAMES.length - 1)
      proxy.cutSilent()
    }
    await untilOtherHas(NAMES.length)
    expect(isEarly).toBe(false)
    await expectExact(PROJECTIONS, store)
    handling.open()
    proxy.plugIn()
    await untilShared()
    await append(store, 10)
    await expectExact(PROJECTIONS, store)
  },
)

const POOL_SIZE = 10

test('a process that is killed again and again leaves no more connections behind than two pools have, and none in the end', async () => {
  const store = await chaosStore()
  const client = await store.connect()
  onTestFinished(() => client.end())
  const backends = async (): Promise<number> => {
    const { rows } = await client.query(
      "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
    )
    return Number(rows[0]?.n)
  }
  let most = 0
  for (let n = 0; n < 10; n++) {
    const node = await spawnNode(store)
    most = Math.max(most, await backends())
    await node.kill()
    most = Math.max(most, await backends())
  }
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(2 * POOL_SIZE)
  // In the middle of a statement, which the server ends by itself.
  const last = await spawnNode(store, { 'statement-ms': '5000' })
  await append(store, 1)
  await until('its statement runs', async () => {
    const { rows } = await client.query(
      "select from pg_stat_activity where query like 'select pg_sleep(%' and state = 'active'",
    )
    return rows.length > 0
  })
  await last.kill()
  await until('nothing is left of it', async () => (await backends()) === 0)
  const next = await spawnNode(store)
  await expectExact(PROJECTIONS, store)
  expect(await next.terminate()).toBe(0)
})
