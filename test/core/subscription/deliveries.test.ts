import { denseOrder } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Deliveries, type Entry } from '../../../packages/core/src/subscription/deliveries.ts'
import { event } from './client-subscription.ts'

type Outcome = 'done' | 'failed'

/** All that was delivered, each with its own outcome, nothing joined. */
class Model {
  entries: { readonly position: bigint; outcome: Outcome | undefined }[] = []

  /** What has ended from the oldest on; takes it away. */
  endedFromOldest() {
    const running = this.entries.findIndex(({ outcome }) => outcome === undefined)
    const ended = this.entries.splice(0, running === -1 ? this.entries.length : running)
    const [first] = ended
    if (first === undefined) return undefined
    const failed = ended.findIndex(({ outcome }) => outcome === 'failed')
    return {
      through: ended[failed === -1 ? ended.length - 1 : failed - 1]?.position,
      failed: ended[failed]?.position,
      last: ended.at(-1)?.position,
    }
  }
}

test('in whatever order handlers end, what has ended from the oldest on comes out at once, and little is kept', () => {
  const steps = fc.array(fc.record({ step: fc.constantFrom('begin', 'done', 'failed'), choice: fc.nat() }), {
    minLength: 8,
    maxLength: 60,
  })
  fc.assert(
    fc.property(steps, (given) => {
      const deliveries = new Deliveries<bigint>(denseOrder)
      const model = new Model()
      const running: Entry<bigint>[] = []
      let next = 0n
      for (const { step, choice } of given) {
        if (step === 'begin' || running.length === 0) {
          model.entries.push({ position: next, outcome: undefined })
          running.push(deliveries.append(event(next++)))
        } else {
          const [entry] = running.splice(choice % running.length, 1)
          const own = model.entries.find(({ position }) => position === entry?.delivery.position)
          if (entry === undefined || own === undefined) continue
          own.outcome = step
          const run = deliveries.end(entry, step)
          const ended = run && {
            through: run.through?.position,
            failed: run.failed?.position,
            last: run.last.position,
          }
          expect(ended).toEqual(model.endedFromOldest())
        }
        expect(deliveries.oldest?.position).toBe(model.entries[0]?.position)
        expect(deliveries.size).toBeLessThanOrEqual(2 * running.length)
        for (const entry of running) {
          expect(deliveries.runningAt(entry.delivery.position ?? -1n)).toBe(entry)
        }
      }
    }),
  )
})

test('what is delivered again from a position on is forgotten, and so is what had ended before it', () => {
  const deliveries = new Deliveries<bigint>(denseOrder)
  const [first, second, third, fourth] = [1n, 2n, 3n, 4n].map((each) => deliveries.append(event(each)))
  if (second) deliveries.end(second, 'failed')
  deliveries.keepRunningBefore(4n)
  expect([first, second, third, fourth].map((entry) => entry?.isRemoved)).toEqual([false, true, false, true])
  expect(deliveries.runningAt(2n)).toBeUndefined()
  expect(deliveries.runningAt(4n)).toBeUndefined()
  expect(deliveries.oldest?.position).toBe(1n)
  if (third) expect(deliveries.end(third, 'done')).toBeUndefined()
  if (first)
    expect(deliveries.end(first, 'done')).toMatchObject({ through: { position: 3n }, failed: undefined })
  expect(deliveries.size).toBe(0)
})

test('only what still runs is found by its position', () => {
  const deliveries = new Deliveries<bigint>(denseOrder)
  const first = deliveries.append(event(1n))
  const second = deliveries.append(event(2n))
  deliveries.end(second, 'done')
  expect(deliveries.runningAt(2n)).toBeUndefined()
  expect(deliveries.runningAt(1n)).toBe(first)
})
