import type { EventSource } from '@tidemark/core'
import type { LoadRequest } from '@tidemark/core/adapter'
import { denseOrder } from '@tidemark/core/adapter'
import { afterEach, describe, expect, test } from 'vitest'
import { isFetchedFor } from '../../packages/core/src/reading/own-pages.ts'
import { Random } from './model/random.ts'
import {
  altered,
  type Event,
  projectionOf,
  reading,
  recording,
  rig,
  scripted,
  stateOf,
  stopAll,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const upTo = (last: number): bigint[] => Array.from({ length: last }, (_, index) => BigInt(index + 1))

/** Fails wherever one of these is. What it has handled is what was committed: nothing fails after it. */
function poisonable(poison: ReadonlySet<bigint>, options: Parameters<typeof recording>[1] = {}) {
  const recorded = recording('orders', options)
  let failures = 0
  const handle: typeof recorded.handle = (batch, context) => {
    const found = batch.find(({ position }) => poison.has(position))
    if (found) {
      failures++
      throw new Error(`cannot handle ${found.position}`)
    }
    return recorded.handle(batch, context)
  }
  const { seen } = recorded
  return { projection: { ...recorded, handle }, seen, failures: () => failures }
}

describe('a poison event among 1,000', () => {
  test.each([1n, 2n, 250n, 251n, 500n, 501n, 637n, 999n, 1_000n])(
    'at position %d: all before it is committed, once, and it alone is named',
    async (at) => {
      const { clock, events, daemon } = rig()
      for (let i = 0; i < 1_000; i++) events.append('a', i)
      const { projection, seen, failures } = poisonable(new Set([at]), { batchSize: 500, attempts: 3 })
      const running = daemon([projection])
      await running.start()
      await clock.until(() => stateOf(running, 'orders') === 'paused')
      expect(seen).toEqual(upTo(Number(at) - 1))
      const position = String(at)
      expect(projectionOf(running, 'orders')).toMatchObject({
        position: at === 1n ? undefined : at - 1n,
        error: { message: `cannot handle ${at}` },
        failure: {
          batch: { firstPosition: position, lastPosition: position, events: 1 },
          attempt: 3,
          attempts: 3,
        },
      })
      expect(failures(), 'some nine halves of 500, and its attempts').toBeLessThanOrEqual(9 + 3)
    },
  )

  test('is one of two: the second is found once the first is mended', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 1_000; i++) events.append('a', i)
    const poison = new Set([301n, 320n])
    const { projection, seen } = poisonable(poison, { batchSize: 500, attempts: 2 })
    for (const at of [301n, 320n]) {
      const running = daemon([projection])
      await running.start()
      await clock.until(() => stateOf(running, 'orders') === 'paused')
      expect(projectionOf(running, 'orders').failure?.batch).toMatchObject({
        firstPosition: String(at),
        events: 1,
      })
      expect(seen).toEqual(upTo(Number(at) - 1))
      await clock.run(running.stop())
      poison.delete(at)
    }
    const running = daemon([projection])
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(seen).toEqual(upTo(1_000))
  })

  test('costs no attempt until it is found, and little time', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 1_000; i++) events.append('a', i)
    const { projection } = poisonable(new Set([777n]), { attempts: 1 })
    const running = daemon([projection])
    await running.start()
    const begunMs = clock.nowMs()
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    expect(clock.nowMs() - begunMs).toBeLessThanOrEqual(1_000)
    expect(projectionOf(running, 'orders').failure).toMatchObject({
      attempt: 1,
      batch: { firstPosition: '777' },
    })
  })
})

test('while the batch is parted the status says that it is retried, with what has failed, until its end is handled', async () => {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 8; i++) events.append('a', i)
  const poison = new Set([2n])
  const seen: string[] = []
  const running = daemon([
    {
      name: 'orders',
      handle: (batch) => {
        const { state, failure } = projectionOf(running, 'orders')
        seen.push(`${state} ${batch.length} ${failure?.attempt ?? 'none'}`)
        if (batch.length > 3 && batch.some(({ position }) => poison.has(position))) throw new Error('boom')
      },
    },
  ])
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(seen).toEqual([
    'catching_up 8 none',
    'retrying 4 0',
    'retrying 2 0',
    'retrying 2 0',
    'catching_up 4 none',
  ])
})

test('a handler whose target is away for less than its attempts take handles everything once', async () => {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 1_000; i++) events.append('a', i)
  const all = recording('mails', { batchSize: 100 })
  const downUntilMs = clock.nowMs() + 2_500
  const running = daemon([
    {
      ...all,
      handle: (batch, context) => {
        if (clock.nowMs() < downUntilMs) throw new Error('503')
        return all.handle(batch, context)
      },
    },
  ])
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(all.seen).toEqual(upTo(1_000))
})

test.each([1, 2, 3, 4, 5])(
  'a handler that fails in one of 50 calls, at random (seed %d), loses and repeats nothing, and is never paused',
  async (seed) => {
    const random = new Random(seed)
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 3_000; i++) events.append('a', i)
    const all = recording('shaky', { batchSize: 10 })
    let failures = 0
    const states = new Set<string>()
    const running = daemon(
      [
        {
          ...all,
          handle: (batch, context) => {
            if (random.chance(1 / 50)) {
              failures++
              throw new Error('now and then')
            }
            return all.handle(batch, context)
          },
        },
      ],
      { telemetry: { projectionStateChanged: ({ state }) => states.add(state) } },
    )
    await running.start()
    await clock.run(running.waitUntilProjected())
    expect(all.seen).toEqual(upTo(3_000))
    expect(failures).toBeGreaterThan(0)
    expect(states).not.toContain('paused')
  },
)

/** Several events may share a position, which is that of their transaction. */
function grouped(positions: readonly bigint[]): EventSource<bigint, Event> {
  const rows = positions.map((position): Event => ({ position, type: 'a', data: undefined }))
  const last = positions.at(-1)
  return {
    ...scripted(() => reading({ head: last, settled: last, mark: last, incarnation: 'scripted' })),
    load: async ({ after = 0n, upTo, limit }: LoadRequest<bigint>) => {
      const waiting = rows.filter(({ position }) => position > after && position <= upTo)
      const end = waiting[limit - 1]?.position
      const events = end === undefined ? waiting : waiting.filter(({ position }) => position <= end)
      return { events, positions: events.map(({ position }) => position), through: end ?? upTo }
    },
  }
}

test.each([3n, 7n, 8n])(
  'events that share a position (%d) are never parted, and are blamed together',
  async (at) => {
    const { clock, daemon } = rig()
    const positions = [1n, 2n, 3n, 3n, 3n, 4n, 5n, 6n, 7n, 8n, 8n, 8n, 8n, 8n, 8n, 8n, 8n, 9n]
    const sizes = new Map(positions.map((one) => [one, positions.filter((other) => other === one).length]))
    const batches: bigint[][] = []
    const running = daemon(
      [
        {
          name: 'orders',
          batchSize: 6,
          attempts: 2,
          handle: (batch) => {
            batches.push(batch.map(({ position }) => position))
            if (batch.some(({ position }) => position === at)) throw new Error('poison')
          },
        },
      ],
      { source: grouped(positions) },
    )
    await running.start()
    await clock.until(() => stateOf(running, 'orders') === 'paused')
    for (const batch of batches) {
      for (const position of batch) {
        expect(batch.filter((other) => other === position)).toHaveLength(sizes.get(position) ?? 0)
      }
    }
    expect(projectionOf(running, 'orders')).toMatchObject({
      position: at - 1n,
      failure: { batch: { firstPosition: String(at), lastPosition: String(at), events: sizes.get(at) } },
    })
  },
)

test('while a batch is parted nothing is read ahead, and nothing that was read ahead before is used', async () => {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < 24; i++) events.append('a', i)
  const loads: string[] = []
  const source = altered(events, {
    load: (request: LoadRequest<bigint>) => {
      loads.push(`${request.limit} after ${request.after ?? 0}`)
      return events.load(request)
    },
  })
  const { projection, seen } = poisonable(new Set([4n]), { batchSize: 8, attempts: 2 })
  const handle: typeof projection.handle = async (...args) => await projection.handle(...args)
  const running = daemon([{ ...projection, handle }], { source })
  await running.start()
  await clock.until(() => stateOf(running, 'orders') === 'paused')
  expect(seen).toEqual([1n, 2n, 3n])
  expect(loads).toEqual([
    '8 after 0',
    '8 after 8',
    '4 after 0',
    '2 after 0',
    '2 after 2',
    '1 after 2',
    '1 after 3',
    '1 after 3',
  ])
})

test('a page that was read ahead is none of another size', () => {
  const fetched = { after: 5n, incarnation: 'first', limit: 100 }
  const request = { after: 5n, reading: reading(), limit: 100 }
  expect(isFetchedFor(denseOrder, fetched, request)).toBe(true)
  expect(isFetchedFor(denseOrder, fetched, { ...request, limit: 50 })).toBe(false)
  expect(isFetchedFor(denseOrder, fetched, { ...request, after: 6n })).toBe(false)
  expect(isFetchedFor(denseOrder, fetched, { ...request, reading: reading({ incarnation: 'second' }) })).toBe(
    false,
  )
})
