import type { DaemonOptions } from '@tidemark/core'
import type { OperatorControl } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { alteredCheckpoints, type Event, projectionOf, type Rig, recording, rig, stopAll } from './rig.ts'

beforeEach(() => {
  // What runs on a clock that stands still keeps the process busy.
  vi.spyOn(performance, 'eventLoopUtilization').mockReturnValue({ idle: 9, active: 1, utilization: 0.1 })
})

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  vi.restoreAllMocks()
})

const KEYS = 37
const keyOf = (event: Event): string => String(event.data)

type Options = Partial<Omit<DaemonOptions<bigint, Event, undefined>, 'projections'>>

/** A daemon of "orders", whose handler takes 20 ms for an event, with what it has handled and said. */
function handling(parts: Rig, options: Options = {}, isAuto = true) {
  const lines: string[] = []
  const say = (line: string) => void lines.push(line)
  const handled: Event[] = []
  const orders = recording('orders', {
    keyOf,
    batchSize: 20,
    ...(isAuto ? { autoShard: { max: 2 } } : {}),
    handle: async (events, { signal }) => {
      await parts.clock.sleep(20 * events.length, signal)
      handled.push(...events)
    },
  })
  const daemon = parts.daemon([orders], { logger: { info: say, warn: say, error: say }, ...options })
  const told = () => lines.filter((line) => line.includes('autoShard'))
  const shards = () => projectionOf(daemon, 'orders').shards?.length ?? 1
  return { daemon, handled, told, shards }
}

let appended = 0

type Reshard = NonNullable<OperatorControl['reshard']>

/** The checkpoints, where shards are changed in another way. */
function changingBy({ checkpoints }: Rig, by: (reshard: Reshard) => Reshard) {
  const { control } = checkpoints
  if (control?.reshard === undefined) throw new TypeError('it changes shards')
  return alteredCheckpoints(checkpoints, {
    control: {
      units: (...request) => control.units(...request),
      change: (...request) => control.change(...request),
      fulfil: (...request) => control.fulfil(...request),
      audit: (...request) => control.audit(...request),
      reshard: by(control.reshard.bind(control)),
      holdBounds: async (...request) => await control.holdBounds?.(...request),
    },
  })
}

/** So many events a second, of many keys, for so many seconds. */
async function load(parts: Rig, seconds: number, perSecond: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    for (let n = 0; n < perSecond; n++) parts.events.append('a', `order ${appended++ % KEYS}`)
    await parts.clock.advance(1_000)
  }
}

const auditOf = ({ checkpoints }: Rig) => createOperations({ checkpoints }).audit()

function expectInOrder(handled: readonly Event[], count: number): void {
  expect(handled).toHaveLength(count)
  const last = new Map<string, bigint>()
  for (const event of handled) {
    expect(event.position).toBeGreaterThan(last.get(keyOf(event)) ?? 0n)
    last.set(keyOf(event), event.position)
  }
}

test('a projection that lags is cut, and is one shard again when it has been quiet; the audit tells by what', async () => {
  const parts = rig()
  const { daemon, handled, told, shards } = handling(parts)
  await daemon.start()
  await load(parts, 100, 60)
  expect(shards()).toBe(2)
  await parts.clock.run(daemon.waitUntilProjected())
  await load(parts, 1_200, 0)
  expect(shards()).toBe(1)
  await load(parts, 10, 10)
  await parts.clock.run(daemon.waitUntilProjected())
  expectInOrder(handled, 6_100)
  const audit = await auditOf(parts)
  expect(audit.map(({ operation, who }) => ({ operation, who }))).toEqual(
    new Array(3).fill({ operation: 'reshard', who: 'autoShard' }),
  )
  expect(audit.at(-1)?.why).toMatch(
    /^the shard of the slots 0-1023 lags most: .* 60\.0 come; this node has room$/,
  )
  expect(audit[0]?.why).toMatch(/^none of its 2 shards has lagged/)
  expect(told()).toEqual([
    expect.stringMatching(/autoShard of "orders": orders is cut into two: the shard of/),
    expect.stringMatching(/autoShard of "orders": two shards become orders: none of its 2 shards/),
  ])
})

test('without autoShard its shards stay as they are', async () => {
  const parts = rig()
  const { daemon, shards } = handling(parts, {}, false)
  await daemon.start()
  await load(parts, 100, 80)
  expect(shards()).toBe(1)
})

test('what is refused is told once, and decided anew a minute later', async () => {
  const parts = rig()
  let refusals = 2
  const checkpoints = changingBy(parts, (reshard) => async (...request) => {
    if (refusals-- > 0) throw new Error('a dead letter is open')
    return await reshard(...request)
  })
  const { daemon, handled, told, shards } = handling(parts, { checkpoints })
  await daemon.start()
  await load(parts, 110, 80)
  expect(shards()).toBe(1)
  expect(told()).toEqual([
    expect.stringMatching(
      /that orders is cut into two has failed, and is decided anew in a minute: .*a dead letter is open/,
    ),
  ])
  await load(parts, 110, 80)
  expect(shards()).toBe(2)
  await parts.clock.run(daemon.waitUntilProjected())
  expectInOrder(handled, 220 * 80)
})

test('of several processes the one that works on the first shard decides', async () => {
  const parts = rig()
  const all = [handling(parts), handling(parts), handling(parts)]
  for (const { daemon } of all) await daemon.start()
  await load(parts, 100, 80)
  for (const { daemon } of all) await parts.clock.run(daemon.waitUntilProjected())
  for (const { shards } of all) expect(shards()).toBe(2)
  expect(await auditOf(parts)).toHaveLength(2)
  expectInOrder(
    all.flatMap(({ handled }) => handled),
    8_000,
  )
})

test('a daemon that is stopped ends a change that is under way', async () => {
  const parts = rig()
  let asked = 0
  const checkpoints = changingBy(parts, () => async (_version, _decide, { signal }) => {
    asked++
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    throw signal.reason
  })
  const { daemon, told } = handling(parts, { checkpoints })
  await daemon.start()
  await load(parts, 100, 80)
  expect(asked).toBe(1)
  await parts.clock.run(daemon.stop())
  expect(told()).toEqual([])
})
