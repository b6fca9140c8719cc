import { Readable } from 'node:stream'
import { monitorHandler, monitorSubscription, resubscribing } from '@tidemark/core'
import { expectTypeOf, test } from 'vitest'
import type { ClientSubscription, PersistentClientSubscription, TestEvent } from './client-subscription.ts'
import { rig } from './rig.ts'

test("a wrapped subscription has the client's own type, and yields its own events", () => {
  const { subscription, persistent, options } = rig()
  const wrapped = monitorSubscription(options).wrap(subscription())
  expectTypeOf(wrapped).toEqualTypeOf<ClientSubscription>()
  const iterate = async function* () {
    for await (const each of wrapped) yield each
  }
  expectTypeOf(iterate()).toEqualTypeOf<AsyncGenerator<TestEvent, void, unknown>>()
  expectTypeOf(monitorSubscription(options).wrap(persistent())).toEqualTypeOf<PersistentClientSubscription>()
})

test('a plain Readable, a generator and a filter keep their types', () => {
  const { options } = rig()
  expectTypeOf(monitorSubscription(options).wrap(Readable.from([]))).toEqualTypeOf<Readable>()
  async function* numbered(): AsyncGenerator<TestEvent, void> {}
  expectTypeOf(monitorSubscription(options).wrap(numbered())).toEqualTypeOf<AsyncGenerator<TestEvent, void>>()
  const filter = { filterOn: 'streamName', prefixes: ['order-'] } as const
  expectTypeOf(monitorSubscription(options).filter(filter)).toEqualTypeOf<typeof filter>()
})

test('a handler keeps its arguments and what it returns', () => {
  const handle = monitorHandler(rig().options).wrap(async (_: TestEvent, attempt: number) => attempt)
  expectTypeOf(handle).toEqualTypeOf<(item: TestEvent, attempt: number) => Promise<number>>()
})

test('what resubscribes yields the items of its source, and is given positions of it', () => {
  const { options, source } = rig()
  async function* numbered(): AsyncGenerator<TestEvent, void> {}
  const events = resubscribing(
    (from) => {
      expectTypeOf(from).toEqualTypeOf<bigint | 'start'>()
      return numbered()
    },
    { ...options, source },
  )
  const iterate = async function* () {
    for await (const each of events) yield each
  }
  expectTypeOf(iterate()).toEqualTypeOf<AsyncGenerator<TestEvent, void, unknown>>()
  expectTypeOf(events.status().position).toEqualTypeOf<bigint | undefined>()
  // @ts-expect-error a source that does not tell which errors pass
  void (() => resubscribing(numbered, options))
})

test('a source of other items is refused', () => {
  async function* words(): AsyncGenerator<string> {}
  // @ts-expect-error a source of TestEvents does not describe words
  void (() => monitorSubscription(rig().options).wrap(words()))
})
