import { denseOrder } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Completions } from '../../../packages/core/src/subscription/completions.ts'

const EVENTS = 6n
const STEPS = ['begin', 'begin', 'done', 'done', 'failed', 'resubscribe'] as const

/** One handler of subscriptions that follow each other, each from the application's own checkpoint. */
class Consumer {
  readonly completions = new Completions<bigint>(denseOrder)
  readonly running: { position: bigint; delivery: object; end: (outcome: 'done' | 'failed') => void }[] = []
  position = 0n
  isHeld = false
  /** What was handed over, and has not succeeded since. */
  readonly unprocessed = new Set<bigint>()
  readonly #succeeded = new Set<bigint>()
  readonly #newest = new Map<bigint, object>()
  #next = 1n

  get isAtEnd(): boolean {
    return this.#next > EVENTS
  }

  begin(): void {
    const position = this.#next++
    const delivery = { position, appendedAtMs: undefined, hasEvent: true }
    this.unprocessed.add(position)
    this.#newest.set(position, delivery)
    const ended = this.completions.begin(delivery, delivery)
    const end = (outcome: 'done' | 'failed') => {
      if (outcome === 'done') this.#succeeded.add(position)
      if (outcome === 'done' && this.#newest.get(position) === delivery) this.unprocessed.delete(position)
      const { through, isHeld } = ended(outcome)
      this.isHeld = isHeld
      const to = through?.position ?? 0n
      for (let each = this.position + 1n; each <= to; each++) expect(this.#succeeded).toContain(each)
      if (to > this.position) this.position = to
    }
    this.running.push({ position, delivery, end })
  }

  end(index: number, outcome: 'done' | 'failed'): void {
    this.running.splice(index, 1)[0]?.end(outcome)
  }

  /** What runs goes on, and ends whenever it does. */
  resubscribe(): void {
    for (const position of this.unprocessed) if (position < this.#next) this.#next = position
  }
}

test('however subscriptions of one handler overlap, nothing unhandled is passed, and all is in the end', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom(...STEPS), fc.nat()), { maxLength: 60 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 5 }), (taken, concurrency) => {
      const consumer = new Consumer()
      const { completions, running, unprocessed } = consumer
      for (const [step, choice] of taken) {
        if (step === 'resubscribe') consumer.resubscribe()
        else if (step !== 'begin') consumer.end(choice % Math.max(1, running.length), step)
        else if (!consumer.isAtEnd && running.length < concurrency) consumer.begin()
        expect(completions.kept).toBeLessThanOrEqual(2 * running.length)
      }
      while (running.length > 0) consumer.end(0, 'done')
      if (unprocessed.size > 0) consumer.resubscribe()
      while (!consumer.isAtEnd) {
        consumer.begin()
        consumer.end(0, 'done')
      }
      expect(consumer).toMatchObject({ position: EVENTS, isHeld: false })
      expect(completions.kept).toBe(0)
    }),
    { numRuns: 2_000 },
  )
})

const rig = () => {
  const completions = new Completions<bigint>(denseOrder)
  return (position: bigint, item: object = {}) =>
    completions.begin({ position, appendedAtMs: undefined, hasEvent: true }, item)
}

test('a handler of an old subscription that fails late does not hold what the new one has handled', () => {
  const begin = rig()
  const old = begin(1n)
  expect(begin(1n)('done')).toMatchObject({ through: { position: 1n } })
  expect(old('failed')).toMatchObject({ isHeld: false, oldestInHand: undefined })
  expect(begin(2n)('done')).toMatchObject({ through: { position: 2n } })
})

test('what failed behind one that still runs, and is delivered anew, does not hold what has been handled since', () => {
  const begin = rig()
  const slow = begin(1n)
  begin(2n)('failed')
  begin(2n)('done')
  expect(slow('done')).toMatchObject({ through: { position: 2n }, isHeld: false })
})

test('of two that failed, one may be tried again and the other be delivered anew', () => {
  const begin = rig()
  const first = {}
  begin(1n, first)('failed')
  begin(2n)('failed')
  expect(begin(1n, first)('done')).toMatchObject({ isHeld: true })
  expect(begin(2n)('done')).toMatchObject({ through: { position: 2n }, isHeld: false })
})

test('what is delivered again behind later ones that still run does not set the position back', () => {
  const begin = rig()
  const [first, second, third] = [begin(1n), begin(2n), begin(3n)]
  first('done')
  begin(1n)('done')
  const again = begin(2n)
  second('done')
  third('done')
  expect(again('done')).toMatchObject({ through: { position: 3n }, isHeld: false })
})
