import { createProgressReader } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { untilAborted } from '../../packages/core/src/kernel/deferred.ts'
import { Random } from './model/random.ts'
import { altered, alteredCheckpoints, gate, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const BY = { who: 'ada', why: 'a new layout' }
const BESIDE = { projection: 'orders', version: 2, ...BY }

/** Version 1 is live; version 2 begins beside it, and waits at its first batch until the gate is opened. */
async function twoVersions() {
  const { clock, events, checkpoints, daemon } = rig()
  for (let i = 0; i < 5; i++) events.append('a', i)
  const first = recording('orders')
  const alone = daemon([first])
  await alone.start()
  await clock.run(alone.waitUntilProjected())
  await clock.run(alone.stop())
  const held = gate()
  const second = recording('orders', { version: 2 })
  const both = daemon([
    {
      ...second,
      handle: async (batch, context) => {
        await held.promise
        await second.handle(batch, context)
      },
    },
    first,
  ])
  await both.start()
  const of = (version: number) => {
    const found = both.status().projections.find((projection) => projection.version === version)
    if (!found) throw new Error(`no version ${version}`)
    return found
  }
  await clock.until(() => of(1).role === 'live' && of(2).role === 'beside')
  const operations = createOperations({ checkpoints, source: events })
  return { clock, events, checkpoints, daemon: both, first, second, held, of, operations }
}

test('of versions that begin at once in an empty store the lowest is live, however late its checkpoint is made', async () => {
  const { clock, checkpoints, daemon } = rig()
  const isLaterMade = gate()
  const slowly = alteredCheckpoints(checkpoints, {
    open: async (unit, first, signal) => {
      if (unit.version === 1) await isLaterMade.promise
      const opened = await checkpoints.open(unit, first, signal)
      if (unit.version === 3) isLaterMade.open()
      return opened
    },
  })
  const all = daemon(
    [3, 1, 2].map((version) => recording('orders', { version })),
    { checkpoints: slowly },
  )
  await all.start()
  const roles = () => all.status().projections.map(({ version, role }) => [version, role])
  await clock.until(() => all.status().projections.every(({ state }) => state === 'live'))
  expect(roles()).toEqual([
    [3, 'beside'],
    [1, 'live'],
    [2, 'beside'],
  ])
})

describe('a version beside the live one', () => {
  test('has a checkpoint of its own, begins at the first event, and repeats nothing of the live one', async () => {
    const { clock, events, held, first, second, of } = await twoVersions()
    expect(of(2)).toMatchObject({ name: 'orders', version: 2, role: 'beside', position: undefined })
    held.open()
    events.append('b', 6)
    await clock.until(() => of(2).position === 6n && of(1).position === 6n)
    expect([first.seen, second.seen]).toEqual([
      [1n, 2n, 3n, 4n, 5n, 6n],
      [1n, 2n, 3n, 4n, 5n, 6n],
    ])
  })

  test('is not waited for, and makes no process unready while it replays', async () => {
    const { clock, events, daemon, held, of } = await twoVersions()
    events.append('b', 6)
    await clock.run(daemon.waitUntilProjected())
    await clock.run(daemon.waitUntilProjected({ projections: ['orders'] }))
    expect(of(2).position, 'of the version beside it').toBeUndefined()
    await clock.advance(600_000)
    const health = daemon.health()
    expect(health).toMatchObject({
      ready: true,
      reasons: [],
      projections: [
        { name: 'orders', version: 2, role: 'beside', status: 'stalled' },
        { name: 'orders', version: 1, role: 'live', status: 'ok' },
      ],
    })
    held.open()
  })

  test('is waited for where a daemon has no other version', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const live = daemon([recording('orders')])
    await live.start()
    await clock.run(live.waitUntilProjected())
    const second = recording('orders', { version: 2 })
    const beside = daemon([second])
    await beside.start()
    await clock.run(beside.waitUntilProjected())
    expect(second.seen).toEqual([1n])
  })

  test('that is retired stands still, and goes on from there when it is resumed', async () => {
    const { clock, events, daemon, held, second, of, operations } = await twoVersions()
    held.open()
    await clock.until(() => of(2).position === 5n)
    expect(await operations.retire(BESIDE)).toMatchObject({
      outcome: 'done',
      entry: { operation: 'retire', before: { role: 'beside' }, after: { role: 'retired' } },
    })
    expect(await operations.retire(BESIDE)).toEqual({ outcome: 'already', entry: undefined })
    await clock.until(() => of(2).role === 'retired' && of(2).state === 'paused')
    events.append('b', 6)
    await clock.run(daemon.waitUntilProjected())
    expect(of(2)).toMatchObject({ position: 5n, pausedBy: BY })
    expect(daemon.health()).toMatchObject({ ready: true })
    await operations.resume(BESIDE)
    await clock.until(() => of(2).position === 6n)
    expect(of(2).role).toBe('beside')
    expect(second.seen).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
  })
})

test('a rebuild beside that is longer than all that is read ahead ends, on a store that is slow at random, and switches', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  const random = new Random(4711)
  for (let i = 0; i < 1_000; i++) events.append('a', i)
  const first = recording('orders', { batchSize: 50 })
  const alone = daemon([first])
  await alone.start()
  await clock.run(alone.waitUntilProjected())
  await clock.run(alone.stop())
  let waiting = 0
  const slowly = async <T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> => {
    waiting++
    try {
      if (random.chance(0.7)) await clock.sleep(random.below(200), signal)
      return await call()
    } finally {
      waiting--
    }
  }
  const second = recording('orders', { version: 2, batchSize: 3 })
  const both = daemon([second, first], {
    source: altered(events, {
      load: (request) => slowly(request.signal, () => events.load(request)),
      readHighWater: (request) => slowly(request.signal, () => events.readHighWater(request)),
    }),
    checkpoints: alteredCheckpoints(checkpoints, {
      advance: (request, work) => slowly(request.signal, () => checkpoints.advance(request, work)),
    }),
  })
  await clock.run(both.start())
  const of = (version: number) => both.status().projections.find((each) => each.version === version)
  let last = { at: '', sinceMs: clock.nowMs() }
  /** Whether it is as far, and fails where nothing has moved for long and no call of the store is at hand. */
  const watched = (isDone: () => boolean) => () => {
    const at = `${of(1)?.position} ${of(2)?.position} ${of(2)?.role}`
    if (at !== last.at) last = { at, sinceMs: clock.nowMs() }
    const forMs = clock.nowMs() - last.sinceMs
    if (forMs > 10_000 && waiting === 0 && !isDone())
      throw new Error(`nothing moves, and nothing waits: ${at}`)
    return isDone()
  }
  await clock.until(watched(() => (of(2)?.position ?? 0n) > 500n))
  for (let i = 0; i < 100; i++) events.append('b', i)
  const switching = createOperations({ checkpoints, source: events }).switchTo(BESIDE)
  await clock.until(watched(() => of(2)?.role === 'live' && of(1)?.position === 1_100n))
  await clock.run(switching)
  const everything = Array.from({ length: 1_100 }, (_, index) => BigInt(index + 1))
  expect([first.seen, second.seen]).toEqual([everything, everything])
})

describe('a switch', () => {
  test('makes the version beside the live one, at one position, and back; who waits for the projection then waits for it', async () => {
    const { clock, events, daemon, first, second, held, of, operations } = await twoVersions()
    held.open()
    await clock.until(() => of(2).position === 5n)
    events.append('b', 6)
    for (const version of [2, 1]) {
      const switched = operations.switchTo({ ...BESIDE, version })
      expect(await clock.run(switched)).toMatchObject({ outcome: 'done', entry: { unit: { version } } })
      await clock.until(() => of(version).role === 'live' && of(3 - version).role === 'beside')
    }
    events.append('c', 7)
    await clock.run(daemon.waitUntilProjected())
    await clock.until(() => of(2).position === 7n)
    for (const { seen } of [first, second]) expect(seen).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n])
  })

  test('handles nothing itself where an event may have ended the process: that is found batch by batch first', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let i = 0; i < 5; i++) events.append('a', i)
    const first = daemon([recording('orders')])
    await first.start()
    await clock.run(first.waitUntilProjected())
    await clock.run(first.stop())
    const unit = wholeUnit('orders', 2)
    const signal = new AbortController().signal
    await checkpoints.open(unit, { source: events.name, head: undefined }, signal)
    await checkpoints.tenures?.begin(
      { unit, from: undefined, incarnation: '', effects: 'always', signal },
      () => ({
        session: 'one that has died twice',
        suspicion: { from: null, through: '5', left: 5, limit: 5, tries: 0, trying: 'batch' },
      }),
    )
    const operations = createOperations({ checkpoints, source: events })
    const switching = operations.switchTo(BESIDE)
    await vi.waitFor(async () => expect((await operations.list())[1]?.asked).toBeDefined())
    const batches: number[] = []
    const second = daemon([
      {
        ...recording('orders', { version: 2 }),
        batchSize: 5,
        handle: (batch) => void batches.push(batch.length),
      },
    ])
    await second.start()
    expect(await clock.run(switching)).toMatchObject({ entry: { after: { role: 'live', position: '5' } } })
    expect(batches).toEqual([1, 1, 1, 1, 1])
  })

  test('parks what follows a dead letter of its key, as a batch does', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const second = recording('orders', { version: 2 })
    let isBroken = true
    const both = daemon([
      recording('orders'),
      {
        ...second,
        attempts: 1,
        keyOf: ({ type }) => type,
        onFailure: ({ events: [event] }) => (event?.position === 1n ? 'park_key' : 'pause'),
        handle: async (batch, context) => {
          if (isBroken) throw new Error('not now')
          await second.handle(batch, context)
        },
      },
    ])
    await both.start()
    const of = (version: number) => both.status().projections.find((each) => each.version === version)
    await clock.until(() => of(2)?.position === 1n)
    events.append('b', 2)
    events.append('a', 3)
    await clock.until(() => of(1)?.position === 3n && of(2)?.state === 'paused')
    isBroken = false
    const operations = createOperations({ checkpoints, source: events })
    expect(await clock.run(operations.switchTo(BESIDE))).toMatchObject({
      entry: { after: { role: 'live', position: '3', skipped: { apply_error: 2n } } },
    })
    expect(second.seen).toEqual([2n])
  })

  test('ends the call of a handler that takes too long, and changes nothing', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const second = recording('orders', { version: 2 })
    let calls = 0
    const both = daemon([
      recording('orders'),
      {
        ...second,
        attempts: 1,
        handlerTimeoutMs: 1_000,
        handle: async (batch, context) => {
          if (batch.every(({ position }) => position === 1n)) return await second.handle(batch, context)
          calls++
          await untilAborted(new Promise(() => {}), context.signal)
          throw context.signal.reason
        },
      },
    ])
    await both.start()
    const of = (version: number) => both.status().projections.find((each) => each.version === version)
    await clock.until(() => of(2)?.position === 1n)
    events.append('b', 2)
    await clock.until(() => of(1)?.position === 2n && of(2)?.state === 'paused')
    const before = calls
    const operations = createOperations({ checkpoints, source: events })
    await expect(clock.run(operations.switchTo(BESIDE))).rejects.toThrow(
      /its handle has failed: .*took longer than handlerTimeoutMs \(1000\)/,
    )
    expect(calls).toBeGreaterThan(before)
    expect(of(2)).toMatchObject({ role: 'beside', position: 1n })
  })

  test('is refused for a version that is paused or retired, and says so', async () => {
    const { held, operations } = await twoVersions()
    held.open()
    await operations.pause(BESIDE)
    await expect(operations.switchTo(BESIDE)).rejects.toThrow(
      'projection "orders@2": it is paused; resume it before it becomes the live version; nothing was changed',
    )
    await operations.retire(BESIDE)
    await expect(operations.switchTo(BESIDE)).rejects.toThrow('it is retired; resume it before')
    expect(await operations.switchTo({ ...BESIDE, version: 1 })).toEqual({
      outcome: 'already',
      entry: undefined,
    })
  })
})

describe('what operators may not do', () => {
  test('retire the live version', async () => {
    const { operations, held } = await twoVersions()
    held.open()
    await expect(operations.retire({ ...BESIDE, version: 1 })).rejects.toThrow(
      'projection "orders": it is the live version, which readers use; switch to another version first; nothing was changed',
    )
  })

  test('forget the live version while there is another', async () => {
    const { operations, held } = await twoVersions()
    held.open()
    await operations.pause({ ...BESIDE, version: 1 })
    await expect(operations.forget({ ...BESIDE, version: 1 })).rejects.toThrow(
      'it is the live version, and there are others: 2; switch to one of them first, or forget them',
    )
    await operations.retire(BESIDE)
    await operations.forget(BESIDE)
    await operations.forget({ ...BESIDE, version: 1 })
    expect(await operations.list()).toEqual([])
  })

  test('leave out the version where there are two', async () => {
    const { operations, held } = await twoVersions()
    held.open()
    await expect(operations.pause({ projection: 'orders', ...BY })).rejects.toThrow(
      'it has several units, of the versions 1, 2; say which version is meant',
    )
  })
})

describe('a progress reader', () => {
  test('looks at the live version, or at the one that it is asked for', async () => {
    const { clock, events, checkpoints, held } = await twoVersions()
    const reader = createProgressReader({ checkpoints, source: events, clock })
    expect(await reader.position('orders')).toBe(5n)
    await clock.run(reader.waitFor({ projection: 'orders', position: 5n }))
    const late = reader.waitFor({ projection: 'orders', version: 2, position: 5n, timeoutMs: 1_000 })
    await expect(clock.run(late)).rejects.toThrow(
      'projection "orders@2" has not handled position 5 within 1000 ms: it has handled nothing yet',
    )
    held.open()
    await clock.run(reader.waitFor({ projection: 'orders', version: 2, position: 5n }))
  })

  test('tells who waits for a retired version that it moves no more, and waits for the live one', async () => {
    const { clock, events, checkpoints, held, of, operations } = await twoVersions()
    held.open()
    await clock.until(() => of(2).position === 5n)
    await operations.retire(BESIDE)
    const reader = createProgressReader({ checkpoints, source: events, clock })
    await clock.run(reader.waitFor({ projection: 'orders', version: 2, position: 5n }))
    const waiting = reader.waitFor({ projection: 'orders', version: 2, position: 6n })
    await expect(clock.run(waiting)).rejects.toThrow(
      'projection "orders@2" is retired, and moves no more: wait for the live version, which is meant where none is named',
    )
    events.append('b', 6)
    await clock.run(reader.waitFor({ projection: 'orders', position: 6n }))
  })
})
