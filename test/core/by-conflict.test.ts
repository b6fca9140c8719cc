import { CheckpointConflictError } from '@tidemark/core'
import { type AdvanceRequest, denseOrder } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'
import { ByConflict } from '../../packages/core/src/ownership/by-conflict.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { never } from '../support/never.ts'

const REQUEST = {} as AdvanceRequest
/** Some looks long. */
const PATIENCE_MS = 1_000

const UNASKED = {
  bound: (): bigint | undefined => undefined,
  isAsked: () => false,
  nextAsked: () => new Promise<void>(() => {}),
}

function rig() {
  const clock = new FakeClock()
  const agent = { mark: 10n as bigint | undefined, nextChange: () => new Promise<void>(() => {}) }
  let conflicts = 0
  const checkpoints = {
    advance: async (_: AdvanceRequest, work: (tx: undefined) => Promise<void>) => {
      if (conflicts-- > 0) throw new CheckpointConflictError('all', 'another owner is working on it')
      await work(undefined)
      return { position: '1', skipped: {}, crossed: [] }
    },
  }
  const ownership = new ByConflict<bigint, undefined>({
    checkpoints,
    order: denseOrder,
    agent,
    clock,
    patienceMs: PATIENCE_MS,
  })
  return { clock, agent, ownership, conflict: () => conflicts++ }
}

const unasked = async (): Promise<bigint> => expect.fail('it looks at the checkpoint')

test('the right to work is there for the asking, until there is a conflict', async () => {
  const { ownership } = rig()
  const grant = await ownership.acquire({ look: unasked, ...UNASKED, signal: never(), hurry: never() })
  expect(await grant.advance(REQUEST, async () => {})).toMatchObject({ position: '1' })
  expect(grant.lost.aborted).toBe(false)
})

test('a conflict takes it away before whoever moved the checkpoint is told', async () => {
  const { ownership, conflict } = rig()
  const grant = await ownership.acquire({ look: unasked, ...UNASKED, signal: never(), hurry: never() })
  conflict()
  const wasLost = grant.advance(REQUEST, async () => {}).catch(() => grant.lost.aborted)
  expect(await wasLost).toBe(true)
})

test('what else fails takes nothing away', async () => {
  const { ownership } = rig()
  const grant = await ownership.acquire({ look: unasked, ...UNASKED, signal: never(), hurry: never() })
  const failing = grant.advance(REQUEST, async () => {
    throw new Error('boom')
  })
  await expect(failing).rejects.toThrow('boom')
  expect(grant.lost.aborted).toBe(false)
})

/** Lost to another owner, and asked for again. */
async function standingBy(position: () => bigint, awaited: typeof UNASKED = UNASKED) {
  const parts = rig()
  const { ownership, conflict } = parts
  const grant = await ownership.acquire({ look: unasked, ...UNASKED, signal: never(), hurry: never() })
  conflict()
  await grant.advance(REQUEST, async () => {}).catch(() => {})
  let isGranted = false
  const [stopping, hurry] = [new AbortController(), new AbortController()]
  const asked = ownership
    .acquire({ look: async () => position(), ...awaited, signal: stopping.signal, hurry: hurry.signal })
    .then(() => {
      isGranted = true
    })
  return { ...parts, asked, stopping, hurry, isGranted: () => isGranted }
}

test('it is given again once the checkpoint has stood still for a while with events waiting', async () => {
  const { clock, isGranted } = await standingBy(() => 1n)
  await clock.advance(PATIENCE_MS - 1)
  expect(isGranted()).toBe(false)
  await clock.advance(PATIENCE_MS)
  expect(isGranted()).toBe(true)
})

test('an owner that was taken to be gone, and works, is waited for twice as long the next time, until it is calm', async () => {
  const { clock, ownership, conflict, asked } = await standingBy(() => 1n)
  await clock.run(asked)
  /** Lost to the owner that was taken to be gone, and given again. */
  const givenAfterMs = async (): Promise<number> => {
    const request = { look: async () => 1n, ...UNASKED, signal: never(), hurry: never() }
    conflict()
    const grant = await ownership.acquire(request)
    await grant.advance(REQUEST, async () => {}).catch(() => {})
    const sinceMs = clock.nowMs()
    await clock.run(ownership.acquire(request))
    return clock.nowMs() - sinceMs
  }
  const waits = [await givenAfterMs(), await givenAfterMs(), await givenAfterMs(), await givenAfterMs()]
  expect(waits.map((ms) => Math.floor(ms / PATIENCE_MS))).toEqual([2, 4, 5, 5])
  await clock.advance(30_000)
  expect(Math.floor((await givenAfterMs()) / PATIENCE_MS)).toBe(2)
})

test('it is not given while another owner moves the checkpoint', async () => {
  let position = 0n
  const { clock, agent, isGranted } = await standingBy(() => ++position)
  agent.mark = 1_000_000n
  await clock.advance(60_000)
  expect(isGranted()).toBe(false)
})

test('where somebody waits the checkpoint is looked at soon, then less and less often, and never taken for that', async () => {
  let position = 0n
  const { clock, agent, ownership, isGranted } = await standingBy(() => ++position)
  agent.mark = 1_000_000n
  await clock.advance(10_000)
  const looksWithin = async (ms: number): Promise<number> => {
    const before = position
    await clock.advance(ms)
    return Number(position - before)
  }
  expect(await looksWithin(2_500)).toBeLessThan(15)
  ownership.hurry()
  expect(await looksWithin(10)).toBe(1)
  expect(await looksWithin(50)).toBeGreaterThan(2)
  await clock.advance(2_000)
  expect(await looksWithin(2_500)).toBeLessThan(15)
  expect(isGranted()).toBe(false)
})

test('it is not given while no events wait', async () => {
  const { clock, isGranted } = await standingBy(() => 10n)
  await clock.advance(60_000)
  expect(isGranted()).toBe(false)
})

test('it is not given while the checkpoint stands where it is to come for now, and is once it may go on', async () => {
  let bound: bigint | undefined = 5n
  const { clock, isGranted } = await standingBy(() => 5n, { ...UNASKED, bound: () => bound })
  await clock.advance(60_000)
  expect(isGranted()).toBe(false)
  bound = undefined
  await clock.advance(2 * PATIENCE_MS)
  expect(isGranted()).toBe(true)
})

test('it is given while no events wait, where something else is asked for and nobody has done it for a while', async () => {
  let isAsked = false
  let tell = (): void => {}
  const nextAsked = () => new Promise<void>((resolve) => (tell = resolve))
  const { clock, isGranted } = await standingBy(() => 10n, {
    ...UNASKED,
    isAsked: () => isAsked,
    nextAsked,
  })
  await clock.advance(60_000)
  expect(isGranted()).toBe(false)
  isAsked = true
  tell()
  await clock.advance(4_000)
  expect(isGranted()).toBe(false)
  await clock.advance(3_000)
  expect(isGranted()).toBe(true)
})

test('who asks for it and stops is refused, and leaves no timer', async () => {
  const { clock, asked, stopping } = await standingBy(() => 1n)
  await clock.settle()
  stopping.abort()
  await expect(asked).rejects.toBe(stopping.signal.reason)
  expect(clock.sleeping).toBe(0)
})
