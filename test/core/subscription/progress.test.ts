import { denseOrder } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Completions } from '../../../packages/core/src/subscription/completions.ts'
import {
  checkpoint,
  deliver,
  handle,
  type Progress,
  processAll,
  reachedBy,
  startProgress,
  tryAgain,
} from '../../../packages/core/src/subscription/progress.ts'
import { skipAt } from '../../../packages/core/src/subscription/skips.ts'
import { nextState, SUBSCRIPTION_STATES } from '../../../packages/core/src/subscription/status.ts'
import { event } from './client-subscription.ts'

const delivery = (position: bigint | undefined, appendedAtMs?: number) => ({
  position,
  appendedAtMs,
  hasEvent: true,
})

describe('skips', () => {
  const skipsOf = (from: bigint | undefined, positions: readonly bigint[]) => {
    let progress: Progress<bigint> = startProgress(from)
    return positions.flatMap((position) => {
      const skips = skipAt(progress, event(position), denseOrder, true)
      progress = deliver(progress, event(position), denseOrder)
      return skips
    })
  }

  test('skipped = current - stored - 1, at each jump', () => {
    expect(skipsOf(4n, [5n, 8n, 9n, 12n])).toEqual([
      { stored: '5', current: '8', count: 2n, reason: 'truncated' },
      { stored: '9', current: '12', count: 2n, reason: 'truncated' },
    ])
  })

  test('between the stored checkpoint and the first event too', () => {
    expect(skipsOf(4n, [7n])).toMatchObject([{ stored: '4', current: '7', count: 2n }])
    expect(skipsOf(0n, [2n]), '0 is a position like any other').toMatchObject([{ stored: '0', count: 1n }])
  })

  test('from the start of the stream the first jump is none', () => {
    expect(skipsOf(undefined, [1_000n, 1_001n])).toEqual([])
  })

  test('whatever is left out of a stream is counted, each once', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 20n }),
        fc.uniqueArray(fc.bigInt({ min: 21n, max: 80n }), { minLength: 1 }),
        (from, kept) => {
          const positions = kept.sort((a, b) => Number(a - b))
          const total = skipsOf(from, positions).reduce((sum, { count }) => sum + count, 0n)
          const last = positions.at(-1) ?? from
          expect(total).toBe(last - from - BigInt(positions.length))
        },
      ),
    )
  })

  test('a link without its event is one unknown event, besides a jump', () => {
    const progress = startProgress(4n)
    const link = { ...event(7n), hasEvent: false }
    expect(skipAt(progress, link, denseOrder, true)).toEqual([
      { stored: '4', current: '7', count: 2n, reason: 'truncated' },
      { stored: '7', current: '7', count: 1n, reason: 'unknown_event' },
    ])
    expect(skipAt(progress, link, denseOrder, false)).toMatchObject([{ reason: 'unknown_event' }])
  })
})

describe('the position', () => {
  test('follows when the consumer comes back, not before', () => {
    const handed = deliver(startProgress<bigint>(undefined), delivery(5n, 100), denseOrder)
    expect(handed).toMatchObject({ processedTo: undefined, inHand: 1, inHandAppendedAtMs: 100 })
    expect(processAll(handed, denseOrder)).toMatchObject({
      processedTo: 5n,
      inHand: 0,
      inHandAppendedAtMs: undefined,
      processed: 1,
    })
  })

  test('moves to a filter checkpoint only when what came before that is processed', () => {
    const one = deliver(startProgress<bigint>(undefined), delivery(5n), denseOrder)
    const noted = checkpoint(one, 90n, 1, denseOrder)
    expect(processAll(noted, denseOrder).processedTo).toBe(5n)
    const both = deliver(processAll(noted, denseOrder), delivery(40n), denseOrder)
    expect(both.processedTo).toBe(5n)
    expect(processAll(both, denseOrder).processedTo).toBe(90n)
    expect(checkpoint(processAll(one, denseOrder), 90n, 0, denseOrder).processedTo, 'nothing in hand').toBe(
      90n,
    )
  })

  test('never goes back, and never passes what is unprocessed, whatever comes in whatever order', () => {
    const step = fc.constantFrom('deliver', 'buffer', 'checkpoint', 'come back')
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let progress: Progress<bigint> = startProgress<bigint>(undefined)
        let server = 0n
        const buffer: bigint[] = []
        const unprocessed: bigint[] = []
        for (const each of steps) {
          const before = progress.processedTo ?? 0n
          if (each === 'buffer') buffer.push(++server)
          else if (each === 'checkpoint') progress = checkpoint(progress, ++server, buffer.length, denseOrder)
          else if (each === 'deliver') {
            const next = buffer.shift()
            if (next === undefined) continue
            unprocessed.push(next)
            progress = deliver(progress, delivery(next), denseOrder)
          } else {
            unprocessed.length = 0
            progress = processAll(progress, denseOrder)
          }
          const now = progress.processedTo ?? 0n
          expect(now >= before).toBe(true)
          for (const position of [...unprocessed, ...buffer]) expect(now < position).toBe(true)
          expect(progress.inHand).toBe(unprocessed.length)
          expect((reachedBy(progress, denseOrder) ?? 0n) >= now).toBe(true)
        }
      }),
    )
  })
})

describe('handlers that run at the same time', () => {
  interface Running {
    readonly position: bigint
    readonly end: (outcome: 'done' | 'failed') => ReturnType<ReturnType<Completions<bigint>['begin']>>
  }

  test('the position is the last before which all have resolved, in whatever order they end', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 80 }), (choices) => {
        const completions = new Completions(denseOrder)
        let progress: Progress<bigint> = startProgress<bigint>(undefined)
        const running: Running[] = []
        let next = 0n
        for (const choice of choices) {
          if (choice % 2 === 0 || running.length === 0) {
            const position = ++next
            progress = deliver(progress, delivery(position, Number(position)), denseOrder)
            running.push({ position, end: completions.begin(delivery(position, Number(position))) })
          } else {
            const [ended] = running.splice(choice % running.length, 1)
            if (ended) progress = handle(progress, ended.end('done'), denseOrder)
          }
          const oldest = running[0]?.position
          expect(progress.processedTo ?? 0n).toBe((oldest ?? next + 1n) - 1n)
          expect(progress.inHandAppendedAtMs).toBe(oldest === undefined ? undefined : Number(oldest))
          expect(progress.processed).toBe(Number(next) - running.length)
        }
      }),
    )
  })

  test('one that failed holds the position, until its event comes again', () => {
    const completions = new Completions(denseOrder)
    let progress: Progress<bigint> = startProgress<bigint>(undefined)
    const begin = (position: bigint) => {
      progress = deliver(progress, delivery(position, Number(position)), denseOrder)
      return completions.begin(delivery(position, Number(position)))
    }
    const end = (ended: ReturnType<typeof begin>, outcome: 'done' | 'failed') => {
      progress = handle(progress, ended(outcome), denseOrder)
    }
    end(begin(1n), 'done')
    end(begin(2n), 'failed')
    end(begin(3n), 'done')
    expect(progress).toMatchObject({ processedTo: 1n, processed: 2, inHandAppendedAtMs: 2, isHeld: true })
    progress = checkpoint(progress, 50n, 0, denseOrder)
    expect(progress.processedTo, 'nor does a checkpoint pass it').toBe(1n)
    end(begin(2n), 'done')
    end(begin(3n), 'done')
    expect(progress).toMatchObject({ processedTo: 50n, inHandAppendedAtMs: undefined, isHeld: false })
  })

  test('nor is one that failed ever passed before it has succeeded, whatever is tried again, in whatever order', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 80 }), (choices) => {
        const completions = new Completions(denseOrder)
        let progress: Progress<bigint> = startProgress<bigint>(undefined)
        const items: { readonly position: bigint }[] = []
        const running: (Running & { readonly item: object })[] = []
        const failed: (typeof items)[number][] = []
        const unprocessed = new Set<bigint>()
        const begin = (item: (typeof items)[number]) => {
          expect(completions.hasFailedAt(item)).toBe(failed.includes(item))
          progress = failed.includes(item)
            ? tryAgain(progress)
            : deliver(progress, delivery(item.position), denseOrder)
          running.push({ ...item, item, end: completions.begin(delivery(item.position), item) })
        }
        const endAt = (index: number, outcome: 'done' | 'failed') => {
          const [ended] = running.splice(index, 1)
          if (ended === undefined) return
          progress = handle(progress, ended.end(outcome), denseOrder)
          const item = items.find(({ position }) => position === ended.position)
          if (outcome === 'done') {
            unprocessed.delete(ended.position)
            failed.splice(0, failed.length, ...failed.filter((each) => each !== item))
          } else if (item && !failed.includes(item)) failed.push(item)
        }
        for (const choice of choices) {
          const [again] = failed.filter((item) => running.every((each) => each.item !== item))
          if (choice % 4 === 0 || (running.length === 0 && again === undefined)) {
            const item = { position: BigInt(items.push({ position: BigInt(items.length + 1) })) }
            items[items.length - 1] = item
            unprocessed.add(item.position)
            begin(item)
          } else if (choice % 4 === 1 && again !== undefined) begin(again)
          else if (running.length > 0) endAt(choice % running.length, choice % 4 === 2 ? 'failed' : 'done')
          for (const position of unprocessed) expect((progress.processedTo ?? 0n) < position).toBe(true)
          expect(progress.inHand).toBe(running.length)
        }
        while (running.length > 0 || failed.length > 0) {
          while (running.length > 0) endAt(0, 'done')
          for (const item of [...failed]) begin(item)
        }
        expect(progress).toMatchObject({ isHeld: false, inHand: 0, processed: items.length })
        expect(progress.processedTo ?? 0n).toBe(BigInt(items.length))
        expect(completions.kept).toBe(0)
      }),
    )
  })

  test('what still runs of before does not move the position past what is delivered anew', () => {
    const completions = new Completions(denseOrder)
    const [first, second, third] = [1n, 2n, 3n].map((position) => completions.begin(delivery(position)))
    first?.('failed')
    third?.('failed')
    const again = completions.begin(delivery(1n))
    expect(second?.('done')).toMatchObject({ through: undefined, oldestInHand: { position: 1n } })
    expect(again('done')).toMatchObject({ through: { position: 1n }, isHeld: false })
  })

  test('nothing piles up behind one that hangs', () => {
    const completions = new Completions(denseOrder)
    const hanging = completions.begin(delivery(0n))
    let last: ReturnType<typeof hanging> | undefined
    for (let position = 1n; position <= 100_000n; position++)
      last = completions.begin(delivery(position))('done')
    expect(last).toMatchObject({ through: undefined, oldestInHand: { position: 0n } })
    expect(completions.kept).toBe(2)
    expect(hanging('done')).toMatchObject({ through: { position: 100_000n }, oldestInHand: undefined })
    expect(completions.kept).toBe(0)
  })
})

test('what has dropped or ended stays so', () => {
  for (const signal of ['caught_up', 'fell_behind', 'drop', 'end'] as const) {
    expect(nextState('dropped', signal)).toBe('dropped')
    expect(nextState('ended', signal)).toBe('ended')
  }
  expect(SUBSCRIPTION_STATES.map((state) => nextState(state, 'caught_up'))).toEqual([
    'live',
    'live',
    'dropped',
    'ended',
  ])
})
