import { setTimeout as delay } from 'node:timers/promises'
import { UnsupportedByStoreError } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const BY = { projection: 'mails', who: 'ann', why: 'a drill' }

type Step =
  | { readonly kind: 'append'; readonly events: number; readonly poisoned: boolean }
  | { readonly kind: 'move'; readonly version: 1 | 2; readonly by: number }
  | { readonly kind: 'rebuild'; readonly version: 1 | 2 }
  | { readonly kind: 'switch'; readonly version: 1 | 2 }
  | { readonly kind: 'retry'; readonly healed: boolean }
  | { readonly kind: 'restart' }
  | { readonly kind: 'wait'; readonly ms: number }

const version = fc.constantFrom(1 as const, 2 as const)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('append' as const),
    events: fc.integer({ min: 1, max: 7 }),
    poisoned: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('move' as const), version, by: fc.integer({ min: -9, max: 3 }) }),
  fc.record({ kind: fc.constant('rebuild' as const), version }),
  fc.record({ kind: fc.constant('switch' as const), version }),
  fc.record({ kind: fc.constant('retry' as const), healed: fc.boolean() }),
  fc.record({ kind: fc.constant('restart' as const) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 3_000 }) }),
)

/** Two versions of a projection that sends mails, and who has got how many of each. */
class Mails {
  readonly #rig = rig()
  readonly #onFailure: 'skip' | 'park_key'
  readonly sent: bigint[] = []
  /** Moved past before they were sent: an operator does not want them. */
  readonly unwanted = new Set<bigint>()
  readonly #poison = new Set<bigint>()
  #last = 0n
  #isHealed = false
  #running: ReturnType<Mails['daemon']>

  constructor(onFailure: 'skip' | 'park_key') {
    this.#onFailure = onFailure
    this.#running = this.daemon()
  }

  daemon() {
    const of = (number: 1 | 2) =>
      recording('mails', {
        version: number,
        effects: 'live_only',
        batchSize: 3,
        attempts: 1,
        onFailure: this.#onFailure,
        keyOf: ({ position }) => String(position % 2n),
        reset: () => {},
        handle: (events) => {
          const positions = events.map(({ position }) => position)
          if (!this.#isHealed && positions.some((position) => this.#poison.has(position)))
            throw new Error('poison')
          this.sent.push(...positions)
        },
      })
    return this.#rig.daemon([of(1), of(2)])
  }

  get #operations() {
    const { checkpoints, events } = this.#rig
    return createOperations({ checkpoints, source: events })
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#running.start()
    await this.#rig.clock.advance(2_000)
    for (const each of steps) await this.#take(each)
    this.#isHealed = true
    await this.#retry()
    const { clock } = this.#rig
    await clock.until(() =>
      this.#running
        .status()
        .projections.every(({ state, position }) => state === 'live' && position === this.#position),
    )
    await this.#retry()
    await clock.run(this.#running.stop())
  }

  get wanted(): bigint[] {
    return Array.from({ length: Number(this.#last) }, (_, n) => BigInt(n + 1)).filter(
      (at) => !this.unwanted.has(at),
    )
  }

  get #position(): bigint | undefined {
    return this.#last === 0n ? undefined : this.#last
  }

  async #take(each: Step): Promise<void> {
    const { clock, events } = this.#rig
    switch (each.kind) {
      case 'append':
        for (let n = 0; n < each.events; n++) {
          events.append('a', n)
          this.#last += 1n
          if (each.poisoned && n === 2) this.#poison.add(this.#last)
        }
        break
      case 'move':
        await this.#move(each.version, BigInt(each.by))
        break
      case 'rebuild':
        await this.#done(this.#operations.rebuild({ ...BY, version: each.version }))
        break
      case 'switch':
        await this.#done(this.#operations.switchTo({ ...BY, version: each.version }))
        break
      case 'retry':
        this.#isHealed = each.healed
        await this.#retry()
        this.#isHealed = false
        break
      case 'restart':
        await clock.run(this.#running.stop())
        this.#running = this.daemon()
        await this.#running.start()
        break
      case 'wait':
        await clock.advance(each.ms)
    }
  }

  /** An operation looks at its answer in real time. */
  async #done(operation: Promise<unknown>): Promise<void> {
    let isOver = false
    const end = (): void => {
      isOver = true
    }
    operation.then(end, end)
    while (!isOver) {
      await this.#rig.clock.advance(100)
      await delay(1)
    }
    await operation
  }

  async #move(number: 1 | 2, by: bigint): Promise<void> {
    const one = { ...BY, version: number }
    await this.#done(this.#operations.pause(one))
    const unit = (await this.#operations.list()).find((each) => each.unit.version === number)
    const from = BigInt(unit?.position ?? 0)
    const highest = BigInt(
      Math.max(0, ...(await this.#operations.list()).map(({ position }) => Number(position ?? 0))),
    )
    const to = from + by < 0n ? 0n : from + by > highest ? highest : from + by
    if (unit?.role === 'live') {
      const furthest = BigInt(Math.max(Number(unit.furthest ?? 0), Number(from)))
      for (let at = furthest + 1n; at <= to; at++) this.unwanted.add(at)
    }
    await this.#done(this.#operations.moveTo({ ...one, position: to === 0n ? undefined : to }))
    await this.#done(this.#operations.resume(one))
  }

  async #retry(): Promise<void> {
    await this.#done(this.#operations.deadLetters.retry({ ...BY }))
  }
}

const inOrder = (positions: readonly bigint[]): bigint[] => [...positions].sort((a, b) => Number(a - b))

test.each(['skip', 'park_key'] as const)(
  "whatever is moved, rebuilt, switched, restarted and retried (onFailure '%s'), each event's mail is sent once",
  async (onFailure) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const mails = new Mails(onFailure)
        await mails.run([{ kind: 'append', events: 5, poisoned: false }, ...steps])
        expect(inOrder(mails.sent)).toEqual(mails.wanted)
        for (const key of onFailure === 'park_key' ? [0n, 1n] : []) {
          const ofKey = mails.sent.filter((position) => position % 2n === key)
          expect(ofKey, 'the order of a key').toEqual(inOrder(ofKey))
        }
      }),
      { numRuns: 25, endOnFailure: false, interruptAfterTimeLimit: 60_000 },
    )
  },
  120_000,
)

describe("effects: 'live_only'", () => {
  test('needs a store that knows which version is live', () => {
    const { daemon } = rig()
    const { control: _, ...without } = inMemoryCheckpoints()
    expect(() =>
      daemon([recording('mails', { effects: 'live_only' })], {
        checkpoints: { ...without, advance: async () => ({}) as never } as never,
      }),
    ).toThrow(UnsupportedByStoreError)
    expect(() => daemon([recording('mails', { effects: 'once' as never })])).toThrow(
      "projections[0].effects: expected 'always' or 'live_only'",
    )
  })

  test('a batch that spans how far it had come hands out what is above, and counts all as handled', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    for (let n = 0; n < 5; n++) events.append('a', n)
    const mails = recording('mails', { effects: 'live_only' })
    const first = daemon([mails])
    await first.start()
    await clock.run(first.waitUntilProjected())
    await clock.run(first.stop())
    const operations = createOperations({ checkpoints, source: events })
    await clock.run(operations.pause(BY))
    await clock.run(operations.moveTo({ ...BY, position: 2n }))
    await clock.run(operations.resume(BY))
    for (let n = 0; n < 3; n++) events.append('a', n)
    const again = daemon([mails])
    await again.start()
    await clock.run(again.waitUntilProjected())
    expect(mails.seen).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n])
    expect(again.status().projections[0]).toMatchObject({ handledEvents: 6, skipped: {} })
  })

  test('what a switch passes was sent by the version that was live', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    const sent: bigint[] = []
    const of = (number: number) =>
      recording('mails', {
        version: number,
        effects: 'live_only',
        handle: (batch) => void sent.push(...batch.map(({ position }) => position)),
      })
    for (const versions of [[of(1)], [of(1), of(2)]]) {
      const started = daemon(versions)
      await started.start()
      await clock.until(() => started.status().projections.every(({ role }) => role !== undefined))
      await clock.run(started.stop())
    }
    for (let n = 0; n < 5; n++) events.append('a', n)
    const first = daemon([of(1)])
    await first.start()
    await clock.run(first.waitUntilProjected())
    await clock.run(first.stop())
    const operations = createOperations({ checkpoints, source: events })
    await expect(operations.switchTo({ ...BY, version: 2, timeoutMs: 1 })).rejects.toThrow(
      'not carried out within',
    )
    const second = daemon([of(2)])
    await second.start()
    await clock.until(() => second.status().projections[0]?.role === 'live')
    events.append('a', 6)
    await clock.run(second.waitUntilProjected())
    expect(sent).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
  })
})
