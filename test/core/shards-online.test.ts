import type { DaemonStatus } from '@tidemark/core'
import { slotRanges } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { type Event, gate, projectionOf, type Rig, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  vi.restoreAllMocks()
})

const KEYS = 37
const keyOf = (event: Event): string => String(event.data)
const ada = { who: 'Ada', why: 'a test' }
const numbers = (count: number): bigint[] => Array.from({ length: count }, (_, index) => BigInt(index + 1))
const sorted = (positions: readonly bigint[]): readonly bigint[] =>
  [...positions].sort((a, b) => Number(a - b))

/** Appends events of so many keys, one key after another. */
function append(parts: Rig, count: number): void {
  for (let n = 0; n < count; n++) parts.events.append('a', `order ${n % KEYS}`)
}

const operationsOn = ({ checkpoints, events }: Rig) => createOperations({ checkpoints, source: events })

async function reshard(parts: Rig, shards: number): Promise<void> {
  // Each shard's checkpoint has followed.
  await parts.clock.advance(2_000)
  await operationsOn(parts).reshard({ projection: 'orders', shards, ...ada })
}

const slotsOf = ({ projections }: DaemonStatus<bigint>) =>
  projections.find(({ name }) => name === 'orders')?.shards?.map(({ slots }) => slots)

function logging() {
  const lines: string[] = []
  const say = (line: string) => lines.push(line)
  return { lines, logger: { info: say, warn: say, error: say } }
}

test('a daemon runs the shards that are stored: it is cut and joined while it runs, and handles each event once', async () => {
  const parts = rig()
  const orders = recording('orders', { keyOf, batchSize: 10 })
  const calls: (readonly Event[])[] = []
  const { lines, logger } = logging()
  const daemon = parts.daemon(
    [
      {
        ...orders,
        handle: (events, context) => {
          calls.push(events)
          return orders.handle(events, context)
        },
      },
    ],
    { logger },
  )
  await daemon.start()
  for (const shards of [4, 3, 8, 2, 1]) {
    append(parts, 50)
    await parts.clock.run(daemon.waitUntilProjected())
    await reshard(parts, shards)
    append(parts, 50)
    await parts.clock.run(daemon.waitUntilProjected())
    expect(slotsOf(daemon.status())).toEqual(shards === 1 ? undefined : slotRanges(shards))
    expect(projectionOf(daemon, 'orders')).toMatchObject({ state: 'live', error: undefined })
  }
  expect(sorted(orders.seen)).toEqual(numbers(500))
  for (let key = 0; key < KEYS; key++) {
    const own = calls.flat().filter((event) => keyOf(event) === `order ${key}`)
    expect(own.map(({ position }) => position)).toEqual(sorted(own.map(({ position }) => position)))
  }
  expect(projectionOf(daemon, 'orders').handledEvents).toBe(500)
  expect(
    lines.filter((line) => line.includes('from now on')).map((line) => /in (\S+ shards?)/.exec(line)?.[1]),
  ).toEqual(['4 shards', '3 shards', '8 shards', '2 shards', 'one shard'])
  expect(lines.filter((line) => !line.includes('from now on'))).toEqual([])
})

test('whoever waits goes on waiting over a change of shards', async () => {
  const parts = rig()
  const held = gate()
  let isHeld = true
  const orders = recording('orders', { keyOf })
  const daemon = parts.daemon([
    {
      ...orders,
      handle: async (events, context) => {
        if (isHeld) await held.promise
        await orders.handle(events, context)
      },
    },
  ])
  append(parts, 20)
  await daemon.start()
  const waiting = daemon.waitUntilProjected()
  await parts.clock.advance(1_000)
  const cut = operationsOn(parts).reshard({ projection: 'orders', shards: 4, ...ada })
  append(parts, 20)
  isHeld = false
  held.open()
  await cut
  await parts.clock.run(waiting)
  await parts.clock.run(daemon.waitUntilProjected())
  expect(slotsOf(daemon.status())).toHaveLength(4)
  expect(sorted(orders.seen)).toEqual(numbers(40))
})

test('where a projection is stored in other shards than its options say, it runs in those, and the log says so once', async () => {
  const parts = rig()
  const first = parts.daemon([recording('orders', { shards: 4, keyOf })])
  append(parts, 40)
  await first.start()
  await parts.clock.run(first.waitUntilProjected())
  await parts.clock.run(first.stop())
  let appended = 40
  for (const shards of [1, 2, 8]) {
    const orders = recording('orders', { shards, keyOf })
    const { lines, logger } = logging()
    const daemon = parts.daemon([orders], { logger })
    append(parts, 10)
    await daemon.start()
    await parts.clock.run(daemon.waitUntilProjected())
    await parts.clock.advance(30_000)
    expect(slotsOf(daemon.status())).toEqual(slotRanges(4))
    expect(sorted(orders.seen)).toEqual(numbers(appended + 10).slice(appended))
    expect(lines).toEqual([
      expect.stringMatching(
        new RegExp(
          `"orders" is stored in 4 shards \\(slots 0-255, .*\\), and runs in that; shards: ${shards} is for`,
        ),
      ),
    ])
    appended += 10
    await parts.clock.run(daemon.stop())
  }
})

test('without the key of events nothing of several shards is handled, until they are one', async () => {
  const parts = rig()
  const first = parts.daemon([recording('orders', { shards: 4, keyOf })])
  append(parts, 40)
  await first.start()
  await parts.clock.run(first.waitUntilProjected())
  await parts.clock.run(first.stop())
  const orders = recording('orders')
  const daemon = parts.daemon([orders])
  append(parts, 10)
  await daemon.start()
  await parts.clock.advance(5_000)
  const { state, error } = projectionOf(daemon, 'orders')
  expect(state).toBe('retrying')
  expect(error).toMatchObject({
    code: 'TIDEMARK_SHARDS_STORED',
    message: expect.stringMatching(/its stored shards are 4 .* give the projection shardBy or keyOf/),
  })
  expect(orders.seen).toEqual([])
  await operationsOn(parts).reshard({ projection: 'orders', shards: 1, ...ada })
  await parts.clock.advance(60_000)
  await parts.clock.run(daemon.waitUntilProjected())
  expect(orders.seen).toEqual(numbers(50).slice(40))
})

test('where its rows are gone, it is made anew as its options say', async () => {
  const parts = rig()
  const orders = recording('orders', { shards: 2, keyOf })
  const daemon = parts.daemon([orders])
  append(parts, 40)
  await daemon.start()
  await parts.clock.run(daemon.waitUntilProjected())
  await reshard(parts, 8)
  await parts.clock.advance(2_000)
  const operations = operationsOn(parts)
  await operations.pause({ projection: 'orders', ...ada })
  await parts.clock.advance(2_000)
  await operations.forget({ projection: 'orders', ...ada })
  orders.seen.length = 0
  await parts.clock.advance(30_000)
  await parts.clock.run(daemon.waitUntilProjected())
  expect(slotsOf(daemon.status())).toEqual(slotRanges(2))
  expect(sorted(orders.seen)).toEqual(numbers(40))
})

test('metrics show the shards that there are', async () => {
  const parts = rig()
  const registry = new Registry()
  const daemon = parts.daemon([recording('orders', { keyOf })], { metrics: promClientMetrics({ registry }) })
  append(parts, 40)
  await daemon.start()
  const shown = async () => {
    const text = await registry.metrics()
    return [...text.matchAll(/projection_position\{.*?shard="(.*?)"/g)].map(([, slots]) => slots)
  }
  for (const shards of [2, 3, 1]) {
    await parts.clock.run(daemon.waitUntilProjected())
    await reshard(parts, shards)
    await parts.clock.advance(2_000)
    expect(await shown()).toEqual(
      shards === 1 ? [] : slotRanges(shards).map(({ from, to }) => `${from}-${to}`),
    )
  }
})

test('nodes that are numbered share what is stored', async () => {
  const parts = rig()
  const nodes = [0, 1, 2].map((index) => {
    const orders = recording('orders', { keyOf })
    const daemon = parts.daemon([orders, recording('stock')], { nodes: { index, of: 3 } })
    return { orders, daemon }
  })
  for (const { daemon } of nodes) await daemon.start()
  let appended = 0
  for (const shards of [6, 2, 9]) {
    append(parts, 100)
    appended += 100
    for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
    await reshard(parts, shards)
    append(parts, 100)
    appended += 100
    await parts.clock.advance(5_000)
    for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
    const here = nodes.flatMap(({ daemon }) => {
      const { shards: all = [] } = projectionOf(daemon, 'orders')
      return all.flatMap(({ slots, dealtTo }) => (dealtTo?.isHere ? slots : []))
    })
    expect(here.sort((a, b) => a.from - b.from)).toEqual(slotRanges(shards))
  }
  expect(sorted(nodes.flatMap(({ orders }) => orders.seen))).toEqual(numbers(appended))
})

test('nodes with leases share what is stored, and one without the key is given nothing of it', async () => {
  const parts = rig()
  // The clock of the store.
  vi.spyOn(Date, 'now').mockImplementation(() => parts.clock.nowMs())
  const node = (name: string, options: Parameters<typeof recording>[1]) => {
    const orders = recording('orders', options)
    return { orders, daemon: parts.daemon([orders], { nodes: { name } }) }
  }
  const nodes = [node('a', { keyOf }), node('b', { keyOf })]
  const keyless = node('c', {})
  for (const { daemon } of [...nodes, keyless]) await daemon.start()
  append(parts, 100)
  for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
  let appended = 100
  for (const shards of [4, 8, 6]) {
    await reshard(parts, shards)
    append(parts, 100)
    appended += 100
    for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
    await parts.clock.advance(20_000)
    for (const { daemon } of nodes) {
      const own = projectionOf(daemon, 'orders').shards?.filter(({ lease }) => lease?.isHere)
      expect(own).toHaveLength(shards / 2)
    }
  }
  expect(projectionOf(keyless.daemon, 'orders').error).toMatchObject({ code: 'TIDEMARK_SHARDS_STORED' })
  const all = [...nodes, keyless].flatMap(({ orders }) => orders.seen)
  expect(sorted(all)).toEqual(numbers(appended))
})
