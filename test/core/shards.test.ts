import type { Daemon } from '@tidemark/core'
import { createProgressReader } from '@tidemark/core'
import { denseOrder, slotOf } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { afterEach, describe, expect, test } from 'vitest'
import { ownEvents } from '../../packages/core/src/reading/part.ts'
import {
  altered,
  alteredCheckpoints,
  type Event,
  positionOf,
  projectionOf,
  recording,
  rig,
  stopAll,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const keyOf = (event: Event): string => String(event.data)
const numbers = (count: number): bigint[] => Array.from({ length: count }, (_, index) => BigInt(index + 1))
const KEYS = 37
const ada = { who: 'Ada', why: 'a test' }

/** Appends events of so many keys, one key after another. */
function append(parts: ReturnType<typeof rig>, count: number): void {
  for (let n = 0; n < count; n++) parts.events.append('a', `order ${n % KEYS}`)
}

test('each event is handed to one shard, and those of one key in their order', async () => {
  const parts = rig()
  const calls: (readonly Event[])[] = []
  const orders = recording('orders', { shards: 4, keyOf, batchSize: 10 })
  const daemon = parts.daemon([
    {
      ...orders,
      handle: (events, context) => {
        calls.push(events)
        return orders.handle(events, context)
      },
    },
  ])
  append(parts, 400)
  await daemon.start()
  await parts.clock.run(daemon.waitUntilProjected())
  expect([...orders.seen].sort((a, b) => Number(a - b))).toEqual(numbers(400))
  for (let key = 0; key < KEYS; key++) {
    const own = calls.flat().filter((event) => keyOf(event) === `order ${key}`)
    const positions = own.map(({ position }) => position)
    expect(positions).toEqual([...positions].sort((a, b) => Number(a - b)))
  }
  for (const events of calls) {
    expect(new Set(events.map((event) => Math.floor(slotOf(keyOf(event)) / 256)))).toHaveProperty('size', 1)
  }
})

test('its status is one entry: where the least of its shards is, with each of them', async () => {
  const parts = rig()
  const stuck = slotOf('order 0')
  const daemon = parts.daemon([
    recording('orders', {
      shards: 2,
      keyOf,
      attempts: 1,
      handle: (events) => {
        if (events.some((event) => keyOf(event) === 'order 0')) throw new Error('no order 0')
      },
    }),
  ])
  append(parts, KEYS + 1)
  await daemon.start()
  await parts.clock.advance(60_000)
  const status = projectionOf(daemon, 'orders')
  expect(daemon.status().projections).toHaveLength(1)
  expect(status.shards?.map(({ slots }) => slots)).toEqual([
    { from: 0, to: 511 },
    { from: 512, to: 1_023 },
  ])
  const isStuck = ({ slots }: { readonly slots: { readonly from: number; readonly to: number } }): boolean =>
    slots.from <= stuck && stuck <= slots.to
  const [failing, other] = [status.shards?.find(isStuck), status.shards?.find((shard) => !isStuck(shard))]
  expect(other).toMatchObject({ state: 'live', position: BigInt(KEYS + 1) })
  expect(failing?.state).toBe('paused')
  expect(status).toMatchObject({ state: 'paused', position: failing?.position, failure: failing?.failure })
  expect(status.handledEvents).toBe((failing?.handledEvents ?? 0) + (other?.handledEvents ?? 0))
  await expect(parts.clock.run(daemon.waitUntilProjected())).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_FAILED',
    message: expect.stringContaining(`"orders[${failing?.slots.from}-${failing?.slots.to}]" is paused`),
  })
  const health = daemon.health()
  expect(health.projections).toHaveLength(1)
  expect(health.projections[0]).toMatchObject({
    name: 'orders',
    status: 'paused',
    position: String(failing?.position ?? 0) === '0' ? undefined : String(failing?.position),
  })
  expect(health.ready).toBe(false)
  expect(health.reasons).toEqual([expect.stringContaining(`"orders[${failing?.slots.from}-`)])
})

test('a shard without events moves its checkpoint all the same', async () => {
  const parts = rig()
  const daemon = parts.daemon([recording('orders', { shards: 64, keyOf })])
  for (let n = 0; n < 100; n++) parts.events.append('a', 'the only one')
  await daemon.start()
  await parts.clock.run(daemon.waitUntilProjected())
  expect(positionOf(daemon, 'orders')).toBe(100n)
  for (const shard of projectionOf(daemon, 'orders').shards ?? []) expect(shard.position).toBe(100n)
})

test('an event whose key cannot be told stops every shard before it, and no other event is passed over', async () => {
  const parts = rig()
  const orders = recording('orders', {
    shards: 3,
    attempts: 1,
    keyOf: (event) => {
      if (event.position === 20n) throw new Error('no key')
      return keyOf(event)
    },
  })
  append(parts, 30)
  const daemon = parts.daemon([orders])
  await daemon.start()
  await parts.clock.advance(60_000)
  for (const shard of projectionOf(daemon, 'orders').shards ?? []) {
    expect(shard).toMatchObject({ state: 'paused', position: 19n, failure: { stage: 'map' } })
  }
  expect([...orders.seen].sort((a, b) => Number(a - b))).toEqual(numbers(19))
})

test('whoever waits in another process waits for the least of its shards', async () => {
  const parts = rig()
  let isHeld = true
  const held = slotOf('order 0')
  const daemon: Daemon<bigint> = parts.daemon([
    recording('orders', {
      shards: 2,
      keyOf,
      handle: (events) => {
        if (isHeld && events.some((event) => slotOf(keyOf(event)) === held)) throw new Error('held')
      },
    }),
  ])
  append(parts, KEYS)
  await daemon.start()
  await parts.clock.advance(1_000)
  const { checkpoints, events: source, clock } = parts
  const reader = createProgressReader({ checkpoints, source, clock })
  expect(await reader.position('orders')).toBe(projectionOf(daemon, 'orders').position)
  let isOver = false
  const waiting = reader.waitFor({ projection: 'orders', position: BigInt(KEYS) }).then(() => {
    isOver = true
  })
  await parts.clock.advance(2_000)
  expect(isOver).toBe(false)
  isHeld = false
  await parts.clock.run(waiting)
  expect(await reader.position('orders')).toBe(BigInt(KEYS))
})

test('an operator pauses, moves and resumes all shards', async () => {
  const parts = rig()
  const orders = recording('orders', { shards: 3, keyOf })
  const daemon = parts.daemon([orders])
  append(parts, 30)
  await daemon.start()
  await parts.clock.run(daemon.waitUntilProjected())
  const operations = createOperations({ checkpoints: parts.checkpoints, source: parts.events })
  const of = { projection: 'orders', ...ada }
  await expect(operations.moveTo({ ...of, position: 10n })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
  })
  expect((await operations.pause(of)).outcome).toBe('done')
  expect((await operations.pause(of)).outcome).toBe('already')
  append(parts, 10)
  await parts.clock.advance(3_000)
  expect(projectionOf(daemon, 'orders')).toMatchObject({
    state: 'paused',
    position: 30n,
    pausedBy: { who: 'Ada' },
  })
  await operations.moveTo({ ...of, position: 10n })
  expect((await operations.list()).map(({ position }) => position)).toEqual(['10', '10', '10'])
  orders.seen.length = 0
  await operations.resume(of)
  await parts.clock.advance(3_000)
  await parts.clock.run(daemon.waitUntilProjected())
  expect([...orders.seen].sort((a, b) => Number(a - b))).toEqual(numbers(40).slice(10))
  const refused = operations.switchTo({ ...of, version: 1 })
  await expect(refused).rejects.toMatchObject({ code: 'TIDEMARK_OPERATION_REFUSED' })
})

test('nodes that are numbered share the shards of one projection', async () => {
  const parts = rig()
  const nodes = [0, 1, 2].map((index) => {
    const orders = recording('orders', { shards: 6, keyOf })
    return { orders, daemon: parts.daemon([orders], { nodes: { index, of: 3 } }) }
  })
  for (const { daemon } of nodes) await daemon.start()
  append(parts, 200)
  for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
  for (const { daemon, orders } of nodes) {
    const here = projectionOf(daemon, 'orders').shards?.filter(({ dealtTo }) => dealtTo?.isHere) ?? []
    expect(here).toHaveLength(2)
    expect(orders.seen.length).toBeGreaterThan(0)
  }
  const all = nodes.flatMap(({ orders }) => orders.seen)
  expect(all.sort((a, b) => Number(a - b))).toEqual(numbers(200))
})

describe('is refused when the daemon is made', () => {
  const parts = rig()
  const made = (options: Parameters<typeof recording>[1], by: Parameters<typeof parts.daemon>[1] = {}) =>
    parts.daemon([recording('orders', options)], by)
  test.each<[string, Parameters<typeof recording>[1], RegExp]>([
    ['no shard', { shards: 0, keyOf }, /shards/],
    ['half a shard', { shards: 1.5, keyOf }, /shards/],
    ['more shards than slots', { shards: 1_025, keyOf }, /at most 1024/],
    ['shards without a key', { shards: 2 }, /the column of the key, or keyOf/],
    ['a column of a source that compares none', { shards: 2, shardBy: 'type' }, /keyOf instead/],
    ['shards of a second version', { shards: 2, keyOf, version: 2 }, /version/],
    ['no number of shards to go up to', { autoShard: {} as never, keyOf }, /autoShard.max/],
    ['one shard to go up to', { autoShard: { max: 1 }, keyOf }, /autoShard.max.*at least 2/],
    ['more shards to go up to than slots', { autoShard: { max: 1_025 }, keyOf }, /at most 1024/],
    [
      'more shards at first than at most',
      { shards: 4, autoShard: { max: 3 }, keyOf },
      /at least 4, since shards is 4/,
    ],
    ['another option of autoShard', { autoShard: { max: 2, min: 1 } as never, keyOf }, /min/],
    ['autoShard without a key', { autoShard: { max: 2 } }, /keyOf beside it, since autoShard/],
    [
      'autoShard of a second version',
      { autoShard: { max: 2 }, keyOf, version: 2 },
      /version.*since autoShard/,
    ],
    [
      'autoShard with an onSwitch',
      { autoShard: { max: 2 }, keyOf, onSwitch: () => {} },
      /onSwitch.*since autoShard/,
    ],
    ['shards with an onSwitch', { shards: 2, keyOf, onSwitch: () => {} }, /onSwitch/],
  ])('%s', (_, options, message) => {
    expect(() => made(options)).toThrow(message)
  })

  test('shards over a source that passes positions without proof', () => {
    const source = altered(parts.events, { passesUnproven: true })
    expect(() => made({ shards: 2, keyOf }, { source })).toThrow(/without proof/)
  })

  test('shards in a store that does not know what there is', () => {
    const { control, ...others } = alteredCheckpoints(parts.checkpoints, {})
    expect(() => made({ shards: 2, keyOf }, { checkpoints: others })).toThrow(/shards.*control/)
  })

  test('autoShard where shards cannot be changed, or nobody can tell how far one is behind', () => {
    const { control, ...others } = alteredCheckpoints(parts.checkpoints, {})
    const checkpoints = {
      ...others,
      control: Object.assign(Object.create(control ?? null), { reshard: undefined }),
    }
    const options = { autoShard: { max: 2 }, keyOf }
    expect(() => made(options, { checkpoints })).toThrow(/autoShard.*control.reshard/)
    const { distance, ...order } = denseOrder
    expect(() => made(options, { source: altered(parts.events, { order }) })).toThrow(/cannot be counted/)
    const source = altered(parts.events, { passesUnproven: true })
    expect(() => made(options, { source })).toThrow(/autoShard.*without proof/)
  })

  test('two versions, of which one is cut by itself', () => {
    const orders = recording('orders', { autoShard: { max: 2 }, keyOf })
    expect(() => parts.daemon([orders, recording('orders', { version: 2 })])).toThrow(/autoShard.*2 versions/)
  })

  test('two versions, of which one is in shards', () => {
    expect(() =>
      parts.daemon([recording('orders', { shards: 2, keyOf }), recording('orders', { version: 2 })]),
    ).toThrow(/2 versions/)
  })
})

test('what a page keeps of others stays beside the events that are kept', () => {
  const page = {
    events: ['a', 'b', 'c', 'd'],
    positions: [1n, 2n, 2n, 4n],
    types: ['A', 'B', 'C', 'D'],
    appendTimesMs: [10, undefined, 30, 40],
    bytes: 100,
    through: 7n,
  }
  expect(ownEvents(denseOrder, page, { isOwn: (event) => event === 'b' || event === 'd' })).toEqual({
    events: ['b', 'd'],
    positions: [2n, 4n],
    types: ['B', 'D'],
    appendTimesMs: [undefined, 40],
    bytes: 100,
    through: 7n,
  })
})
