import { createOperations } from '@tidemark/core/operations'
import { afterEach, expect, test } from 'vitest'
import {
  alteredCheckpoints,
  type Event,
  gate,
  positionOf,
  projectionOf,
  recording,
  rig,
  stateOf,
  stopAll,
  TransientError,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const ASK = { projection: 'all', who: 'ann', why: 'wrong sums' }

/** A projection whose read model is the positions that it was given since it was last reset. */
function rebuildable(options: Parameters<typeof recording>[1] = {}) {
  const projection = recording('all', {
    reset: () => {
      resets.push(projection.seen.length)
      projection.seen.length = 0
    },
    ...options,
  })
  const resets: number[] = []
  return { projection, resets }
}

const numbers = (count: number): bigint[] => Array.from({ length: count }, (_, index) => BigInt(index + 1))

test('a rebuild resets the read model and handles every event again, twice in one process too', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 25; n++) events.append('a', n)
  const { projection, resets } = rebuildable({ batchSize: 4 })
  const running = daemon([projection])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 25n)
  const operations = createOperations({ checkpoints, source: events })
  for (const _ of [1, 2]) {
    const done = await clock.run(operations.rebuild(ASK))
    expect(done).toMatchObject({
      outcome: 'done',
      entry: { operation: 'rebuild', who: 'ann', before: { position: '25' }, after: { position: undefined } },
    })
    await clock.until(() => stateOf(running, 'all') === 'live' && positionOf(running, 'all') === 25n)
    expect(projection.seen).toEqual(numbers(25))
  }
  expect(resets).toEqual([25, 25])
  expect(projectionOf(running, 'all').asked).toBeUndefined()
})

test.each([
  ['no events', 0, 'a'],
  ['none that match', 5, 'b'],
])('a rebuild with %s ends, and whoever waits is answered', async (_, count, type) => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < count; n++) events.append('a', n)
  const { projection, resets } = rebuildable({ eventTypes: [type] })
  const running = daemon([projection])
  await running.start()
  await clock.until(() => stateOf(running, 'all') === 'live')
  const operations = createOperations({ checkpoints })
  for (const _ of [1, 2]) {
    await clock.run(operations.rebuild(ASK))
    await clock.run(running.waitUntilProjected({ timeoutMs: 60_000 }))
  }
  expect(resets).toEqual([0, 0])
})

test('a wait that was begun before a rebuild ends with it, not before', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 10; n++) events.append('a', n)
  const { promise, open } = gate()
  let isHeld = false
  const { projection } = rebuildable({ batchSize: 5 })
  const held = {
    ...projection,
    handle: async (...args: Parameters<typeof projection.handle>) => {
      if (isHeld) await promise
      await projection.handle(...args)
    },
  }
  const running = daemon([held])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 10n)
  isHeld = true
  await clock.run(createOperations({ checkpoints }).rebuild(ASK))
  let isOver = false
  const waiting = running.waitUntilProjected().then(() => {
    isOver = true
  })
  await clock.advance(5_000)
  expect(isOver).toBe(false)
  open()
  await clock.run(waiting)
  expect(projection.seen).toEqual(numbers(10))
})

test('a rebuild of a paused projection resets it, and it stays paused', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 10; n++) events.append('a', n)
  const { projection } = rebuildable()
  const running = daemon([projection])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 10n)
  const operations = createOperations({ checkpoints })
  await clock.run(operations.pause(ASK))
  await clock.run(operations.rebuild(ASK))
  await clock.until(() => positionOf(running, 'all') === undefined)
  await clock.advance(10_000)
  expect(projectionOf(running, 'all')).toMatchObject({ state: 'paused', pausedBy: { who: 'ann' } })
  expect(projection.seen).toEqual([])
  await clock.run(operations.resume(ASK))
  await clock.until(() => positionOf(running, 'all') === 10n)
  expect(projection.seen).toEqual(numbers(10))
})

test('what it had skipped counts no more, and it is paused by its failures no more', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 3; n++) events.append('a', n)
  let isPoisoned = true
  const { projection } = rebuildable({ attempts: 1, onFailure: 'skip' })
  const running = daemon([
    {
      ...projection,
      handle: (batch, context) => {
        if (isPoisoned && batch.some(({ position }) => position === 2n)) throw new Error('poison')
        return projection.handle(batch, context)
      },
    },
  ])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 3n)
  expect(projectionOf(running, 'all').skipped).toEqual({ apply_error: 1n })
  isPoisoned = false
  await clock.run(createOperations({ checkpoints }).rebuild(ASK))
  await clock.until(() => positionOf(running, 'all') === 3n)
  expect(projectionOf(running, 'all').skipped).toEqual({})
  expect(projection.seen).toEqual([1n, 2n, 3n])
})

test('a reset that throws ends the rebuild with its error, and nothing is changed', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 3; n++) events.append('a', n)
  const { projection } = rebuildable({
    reset: () => {
      throw new Error('relation "sums" does not exist')
    },
  })
  const running = daemon([projection])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 3n)
  const operations = createOperations({ checkpoints })
  await expect(clock.run(operations.rebuild(ASK))).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_REFUSED',
    message: expect.stringMatching(
      /"all": its reset has failed: relation "sums" does not exist; nothing was changed/,
    ),
  })
  await clock.advance(5_000)
  expect(projectionOf(running, 'all')).toMatchObject({ state: 'live', position: 3n, asked: undefined })
  expect(projection.seen).toEqual([1n, 2n, 3n])
  const [entry] = await operations.audit()
  expect(entry).toMatchObject({ operation: 'rebuild', before: { position: '3' }, after: { position: '3' } })
  expect(entry?.refused).toMatch(/does not exist/)
})

test('a projection without reset is not rebuilt: the error names the option', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  const running = daemon([recording('all')])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 1n)
  await expect(clock.run(createOperations({ checkpoints }).rebuild(ASK))).rejects.toThrow(
    /"all": the daemon that has it was given no `reset`: give the projection "all" that option/,
  )
})

test('a fault of the store that passes lets it be tried again until it is done', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 3; n++) events.append('a', n)
  const { control } = checkpoints
  if (control === undefined) throw new Error('checkpoints in memory follow operators')
  let faults = 3
  const lines: string[] = []
  const store = alteredCheckpoints(checkpoints, {
    control: {
      units: (filter, signal) => control.units(filter, signal),
      change: (unit, decide, limits) => control.change(unit, decide, limits),
      audit: (filter, signal) => control.audit(filter, signal),
      fulfil: async (request, work) => {
        if (faults-- > 0) throw new TransientError('connection refused')
        return await control.fulfil(request, work)
      },
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const { projection, resets } = rebuildable()
  const logger = { info: () => {}, warn: (line: string) => void lines.push(line), error: () => {} }
  const running = daemon([projection], { checkpoints: store, logger })
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 3n)
  const rebuilding = createOperations({ checkpoints }).rebuild(ASK)
  await clock.until(() => projectionOf(running, 'all').asked !== undefined)
  expect(projectionOf(running, 'all').asked).toMatchObject({
    operation: 'rebuild',
    who: 'ann',
    why: 'wrong sums',
  })
  await clock.run(rebuilding)
  expect(resets).toEqual([3])
  expect(lines).toEqual([
    expect.stringMatching(/the rebuild that ann has asked for .* could not be carried out yet/),
  ])
})

test('a rebuild that nobody does is still asked for, is withdrawn, and is refused while another thing is', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  const { projection, resets } = rebuildable()
  const running = daemon([projection])
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 1n)
  await clock.run(running.stop())
  const operations = createOperations({ checkpoints })
  await expect(operations.rebuild({ ...ASK, timeoutMs: 20 })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_PENDING',
    message: expect.stringMatching(/its rebuild was not carried out within 20 ms. It stays asked for/),
  })
  expect(await operations.list()).toMatchObject([
    { asked: { operation: 'rebuild', who: 'ann', why: 'wrong sums' } },
  ])
  const waiting = operations.rebuild({ ...ASK, who: 'bob' })
  const withdrawn = await operations.cancel({ ...ASK, who: 'eve', why: 'not tonight' })
  expect(withdrawn).toMatchObject({ outcome: 'done', entry: { operation: 'cancel', who: 'eve' } })
  await expect(waiting).rejects.toThrow(
    /eve has withdrawn what was asked for \(not tonight\); nothing was changed/,
  )
  expect(await operations.cancel(ASK)).toEqual({ outcome: 'already', entry: undefined })
  expect(await operations.list()).toMatchObject([{ asked: undefined }])
  expect(resets).toEqual([])
})

test('a rebuild whose answer is lost, or that another node has done, is noticed while nothing is appended', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 5; n++) events.append('a', n)
  const { control } = checkpoints
  if (control === undefined) throw new Error('checkpoints in memory follow operators')
  const store = alteredCheckpoints(checkpoints, {
    control: {
      units: (filter, signal) => control.units(filter, signal),
      change: (unit, decide, limits) => control.change(unit, decide, limits),
      audit: (filter, signal) => control.audit(filter, signal),
      fulfil: async (request, work) => {
        await control.fulfil(request, work)
        throw new TransientError('the answer is lost')
      },
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const { projection, resets } = rebuildable()
  const running = daemon([projection], { checkpoints: store })
  await running.start()
  await clock.until(() => positionOf(running, 'all') === 5n)
  await clock.run(createOperations({ checkpoints }).rebuild(ASK))
  await clock.advance(3_000)
  expect(projectionOf(running, 'all')).toMatchObject({ state: 'live', position: 5n, asked: undefined })
  expect(projection.seen).toEqual(numbers(5))
  expect(resets).toEqual([5])
})

const keyOf = ({ data }: Event): string => `key ${Number(data) % 7}`

test.each(['always', 'live_only'] as const)(
  'a projection in shards is reset once, and all of its shards begin anew (effects: %s)',
  async (effects) => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let n = 0; n < 60; n++) events.append('a', n)
    const { projection, resets } = rebuildable({ shards: 4, keyOf, batchSize: 5, effects })
    const running = daemon([projection])
    await running.start()
    await clock.run(running.waitUntilProjected())
    await clock.advance(2_000)
    const operations = createOperations({ checkpoints, source: events })
    for (const round of [1, 2]) {
      const done = await clock.run(operations.rebuild(ASK))
      expect(done).toMatchObject({
        outcome: 'done',
        entry: { operation: 'rebuild', after: { position: undefined } },
      })
      await clock.advance(5_000)
      await clock.run(running.waitUntilProjected())
      expect(resets).toHaveLength(round)
      expect(projectionOf(running, 'all')).toMatchObject({ state: 'live', position: 60n, asked: undefined })
      const again = effects === 'always' ? numbers(60) : []
      expect(projection.seen.toSorted((a, b) => Number(a - b))).toEqual(again)
    }
    const audit = await operations.audit()
    expect(audit).toHaveLength(2 * 4)
    expect(new Set(audit.map(({ operation }) => operation))).toEqual(new Set(['rebuild']))
  },
)

test('while something is asked of one of its shards a projection in shards is not reset', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  for (let n = 0; n < 20; n++) events.append('a', n)
  const { projection, resets } = rebuildable({ shards: 2, keyOf })
  const running = daemon([projection])
  await running.start()
  await clock.run(running.waitUntilProjected())
  const [, second] = await createOperations({ checkpoints }).list()
  if (second === undefined) throw new TypeError('it has two shards')
  const ask = { id: 'x', operation: 'skip', who: 'bob', why: 'a test', position: '99' } as const
  const limits = { timeoutMs: 1_000, signal: new AbortController().signal }
  await checkpoints.control?.change(second.unit, () => ({ ask }), limits)
  await expect(clock.run(createOperations({ checkpoints }).rebuild(ASK))).rejects.toThrow(
    /a skip of all\[512-1023\] is pending/,
  )
  expect(resets).toEqual([])
  expect(positionOf(running, 'all')).toBe(20n)
})
