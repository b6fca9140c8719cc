import { CheckpointConflictError } from '@tidemark/core'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { never } from '../support/never.ts'
import {
  alteredCheckpoints,
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

test('a daemon whose projection another one works on stands by without calling its handler', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const working = gate()
  const owner = daemon([{ name: 'all', handle: () => working.promise }])
  await owner.start()
  await clock.settle()
  const conflicts: string[] = []
  const spare = recording('all')
  const other = daemon([spare], {
    telemetry: { checkpointConflict: ({ projection }) => conflicts.push(projection) },
  })
  await other.start()
  await clock.advance(60_000)
  expect(spare.seen).toEqual([])
  expect(stateOf(other, 'all')).toBe('standby')
  expect(projectionOf(other, 'all').error).toBeUndefined()
  expect(conflicts).toContain('all')
  working.open()
  await clock.settle()
  expect(positionOf(owner, 'all')).toBe(1n)
})

test('a daemon that stands by takes over when the owner is gone', async () => {
  const { clock, events, daemon } = rig()
  const first = recording('all')
  const second = recording('all')
  const owner = daemon([first])
  const other = daemon([second])
  await owner.start()
  await other.start()
  for (let i = 0; i < 20; i++) {
    events.append('a', i)
    await clock.settle()
  }
  await clock.run(owner.stop())
  const handledByOther = second.seen.length
  events.append('a', 'after')
  await clock.until(() => second.seen.at(-1) === 21n)
  expect(second.seen.length).toBeGreaterThan(handledByOther)
  expect([...first.seen, ...second.seen].sort((a, b) => Number(a - b))).toEqual(
    Array.from({ length: 21 }, (_, index) => BigInt(index + 1)),
  )
})

test('a daemon that stands by does not look at the checkpoint while no events wait', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  const working = gate()
  const owner = daemon([{ name: 'all', handle: () => working.promise }])
  await owner.start()
  await clock.settle()
  let reads = 0
  const store = alteredCheckpoints(checkpoints, {
    open: async (unit, first) => {
      reads++
      return await checkpoints.open(unit, first, never())
    },
  })
  const other = daemon([recording('all')], { checkpoints: store })
  await other.start()
  await clock.advance(1_000)
  working.open()
  await clock.advance(2_000)
  expect(stateOf(other, 'all')).toBe('standby')
  reads = 0
  await clock.advance(60_000)
  expect(reads).toBe(0)
})

test('a passing fault while standing by does not end the projection', async () => {
  const { clock, events, checkpoints, daemon } = rig()
  events.append('a', 1)
  let advances = 0
  let reads = 0
  const store = alteredCheckpoints(checkpoints, {
    open: async (unit, first) => {
      if (++reads > 1 && reads < 6) throw new TransientError('connection reset')
      return await checkpoints.open(unit, first, never())
    },
    advance: async (request, work) => {
      if (++advances === 1) throw new CheckpointConflictError('all', 'another owner is working on it')
      return await checkpoints.advance(request, work)
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const all = recording('all')
  const running = daemon([all], { checkpoints: store })
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(all.seen).toEqual([1n])
})

test('two daemons with a filtered projection do not take it from each other while its checkpoint follows the mark', async () => {
  const { clock, events, daemon } = rig()
  const working = gate()
  events.append('opened', 0)
  const owner = daemon([{ ...recording('opened'), eventTypes: ['opened'], handle: () => working.promise }])
  await owner.start()
  await clock.settle()
  const other = daemon([recording('opened', { eventTypes: ['opened'] })])
  await other.start()
  await clock.advance(500)
  working.open()
  await clock.settle()
  expect(stateOf(other, 'opened')).toBe('standby')
  const states = new Set<string>()
  for (let i = 0; i < 80; i++) {
    events.append('closed', i)
    await clock.advance(100)
    states.add(stateOf(other, 'opened'))
  }
  expect([...states]).toEqual(['standby'])
})

test('with two daemons coming and going every event is handled once and in order', {
  timeout: 60_000,
}, async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('append' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('rollback' as const) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(1_500) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), which: fc.nat(1) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(300), async (steps, handlingMs) => {
      const { clock, events, daemon } = rig()
      const seen: bigint[] = []
      const over = new AbortController()
      const projection = {
        name: 'all',
        batchSize: 2,
        handle: async (batch: readonly { position: bigint }[]) => {
          await clock.sleep(handlingMs, over.signal)
          seen.push(...batch.map((event) => event.position))
        },
      }
      const committed: bigint[] = []
      const daemons = [daemon([projection]), daemon([projection])]
      await Promise.all(daemons.map((running) => running.start()))
      for (const todo of steps) {
        if (todo.kind === 'append') committed.push(events.append('a', undefined))
        else if (todo.kind === 'rollback') {
          const transaction = events.begin()
          transaction.append('a', undefined)
          transaction.rollback()
        } else if (todo.kind === 'wait') await clock.advance(todo.ms)
        else {
          const old = daemons[todo.which]
          const fresh = daemon([projection])
          daemons[todo.which] = fresh
          await clock.run(Promise.all([old?.stop(), fresh.start()]))
        }
      }
      await clock.run(Promise.all(daemons.map((running) => running.waitUntilProjected())))
      expect(seen).toEqual(committed)
      await clock.run(Promise.all(daemons.map((running) => running.stop())))
    }),
    { numRuns: 60 },
  )
})

test('attempts are those at one batch: what another owner has handled since begins them anew', async () => {
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  let failures = 4
  const all = recording('all')
  const first = daemon([
    {
      name: 'all',
      attempts: 5,
      handle: async (batch, context) => {
        if (failures-- > 0) throw new Error('not yet')
        await all.handle(batch, context)
      },
    },
  ])
  await first.start()
  await clock.until(() => projectionOf(first, 'all').failure?.attempt === 4)
  // Another owner handles that batch while this one rests before its last attempt.
  const second = daemon([recording('all')])
  await second.start()
  await clock.until(() => positionOf(second, 'all') === 1n)
  await clock.run(second.stop())
  failures = 1
  events.append('a', 2)
  await clock.until(() => all.seen.at(-1) === 2n || stateOf(first, 'all') === 'paused')
  expect(stateOf(first, 'all')).not.toBe('paused')
  expect(all.seen).toEqual([2n])
})
