import { denseOrder } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'
import { Elsewhere } from '../../packages/core/src/ownership/elsewhere.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A unit that is dealt to another node, whose checkpoint never moves. */
function rig(position: bigint | undefined) {
  const clock = new FakeClock()
  const agent = { mark: 10n, nextChange: () => new Promise<void>(() => {}) }
  const ownership = new Elsewhere<bigint, undefined>({ order: denseOrder, agent, clock })
  const [stopping, hurry] = [new AbortController(), new AbortController()]
  let looks = 0
  const asked = ownership.acquire({
    look: async () => {
      looks++
      return position
    },
    bound: () => undefined,
    isAsked: () => true,
    nextAsked: () => new Promise<void>(() => {}),
    signal: stopping.signal,
    hurry: hurry.signal,
  })
  let outcome: unknown = 'pending'
  asked.then(
    () => {
      outcome = 'granted'
    },
    (reason: unknown) => {
      outcome = reason
    },
  )
  const looksWithin = async (ms: number): Promise<number> => {
    const before = looks
    await clock.advance(ms)
    return looks - before
  }
  return { clock, ownership, stopping, hurry, outcome: () => outcome, looksWithin }
}

test('it is never given, however long events wait, and whatever an operator has asked for', async () => {
  const { clock, hurry, stopping, outcome } = rig(1n)
  await clock.advance(3_600_000)
  hurry.abort()
  await clock.advance(3_600_000)
  expect(outcome()).toBe('pending')
  const reason = new Error('stopping')
  stopping.abort(reason)
  await clock.settle()
  expect(outcome()).toBe(reason)
})

test('its checkpoint is looked at about once a second while events wait, sooner where somebody waits', async () => {
  const { clock, ownership, stopping, looksWithin } = rig(1n)
  await clock.advance(10_000)
  expect(await looksWithin(10_000)).toBeLessThan(15)
  ownership.hurry()
  expect(await looksWithin(50)).toBeGreaterThan(2)
  stopping.abort()
  await clock.settle()
  expect(clock.sleeping).toBe(0)
})

test('while no events wait it is looked at once for each who begins to wait, and otherwise not at all', async () => {
  const { clock, ownership, stopping, looksWithin } = rig(10n)
  await clock.settle()
  expect(await looksWithin(3_600_000)).toBe(0)
  ownership.hurry()
  expect(await looksWithin(3_600_000)).toBe(1)
  stopping.abort()
  await clock.settle()
})
