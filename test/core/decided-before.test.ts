import { createOperations } from '@tidemark/core/operations'
import { expect, test, vi } from 'vitest'
import { rig } from './rig.ts'

const MINUTE = 60_000

/** A projection that an operator has paused and resumed before this process began. */
async function decidedBefore() {
  const made = rig()
  const { clock, checkpoints, events, daemon } = made
  const first = daemon([{ name: 'all', handle: () => {} }])
  await first.start()
  events.append('a', 0)
  await clock.advance(1_000)
  await clock.run(first.stop())
  const operations = createOperations({ checkpoints })
  for (const operation of ['pause', 'resume'] as const) {
    await clock.run(operations[operation]({ projection: 'all', who: 'ada', why: 'a migration' }))
  }
  slowToLook(made)
  return made
}

/** So that an event has failed before a daemon first hears what operators want. */
function slowToLook({ clock, checkpoints }: ReturnType<typeof rig>): void {
  const { control } = checkpoints
  if (control === undefined) throw new TypeError('checkpoints in memory follow operators')
  const units = control.units.bind(control)
  vi.spyOn(control, 'units').mockImplementation(async (filter, signal) => {
    await clock.sleep(300, signal)
    return await units(filter, signal)
  })
}

test('what was decided before a process began gives its failing event no further attempts', async () => {
  const { clock, events, daemon } = await decidedBefore()
  let calls = 0
  const handle = () => {
    calls++
    throw new RangeError('no such account')
  }
  const running = daemon([{ name: 'all', attempts: 5, onFailure: 'skip', handle }])
  events.append('a', 1)
  await running.start()
  await clock.advance(5 * MINUTE)
  expect(calls).toBe(5)
  expect(running.status().projections[0]).toMatchObject({ skipped: { apply_error: 1n } })
})

test('what was decided before a process began lets no batch be tried again whose handler has committed by itself', async () => {
  const { clock, events, daemon } = await decidedBefore()
  let calls = 0
  const handle = () => {
    calls++
    throw Object.assign(new Error('it has ended its transaction'), {
      code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION',
    })
  }
  const running = daemon([{ name: 'all', handle }])
  events.append('a', 1)
  await running.start()
  await clock.advance(5 * MINUTE)
  expect(calls).toBe(1)
})

test('a pause and a resume between the opening of a checkpoint and the first look are seen: what was paused for good is tried anew', async () => {
  const { clock, checkpoints, events, daemon } = rig()
  const { control } = checkpoints
  if (control === undefined) throw new TypeError('checkpoints in memory follow operators')
  const units = control.units.bind(control)
  vi.spyOn(control, 'units').mockImplementationOnce(async (filter, signal) => {
    await clock.sleep(300, signal)
    return await units(filter, signal)
  })
  let calls = 0
  const handle = () => {
    calls++
    if (calls > 1) return
    throw Object.assign(new Error('it has ended its transaction'), {
      code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION',
    })
  }
  events.append('a', 1)
  const running = daemon([{ name: 'all', handle }])
  await running.start()
  await clock.advance(100)
  expect(calls).toBe(1)
  expect(running.status().projections[0]).toMatchObject({ state: 'paused' })
  const operations = createOperations({ checkpoints })
  for (const operation of ['pause', 'resume'] as const) {
    await clock.run(operations[operation]({ projection: 'all', who: 'ada', why: 'it is mended' }))
  }
  await clock.advance(2_000)
  expect(calls).toBe(2)
  expect(running.status().projections[0]).toMatchObject({ state: 'live' })
})

test('a handler that throws what cannot be looked at is tried as any other', async () => {
  const { clock, events, daemon } = rig()
  let calls = 0
  const handle = () => {
    calls++
    throw new Proxy(new Error('hidden'), {
      get: () => {
        throw new Error('not to be read')
      },
    })
  }
  const running = daemon([{ name: 'all', attempts: 3, handle }])
  await running.start()
  events.append('a', 1)
  await clock.advance(4_000)
  expect(calls).toBe(3)
  expect(running.status().projections[0]).toMatchObject({ state: 'paused' })
})
