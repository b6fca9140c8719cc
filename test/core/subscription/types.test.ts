import { Readable } from 'node:stream'
import { monitorHandler, monitorSubscription, watchSubscription } from '@tidemark/core'
import { expectTypeOf, test } from 'vitest'
import type { ClientSubscription, PersistentClientSubscription, TestEvent } from './client-subscription.ts'
import { rig } from './rig.ts'

test("a wrapped subscription has the client's own type, and yields its own events", () => {
  const { subscription, persistent, options } = rig()
  const wrapped = monitorSubscription(subscription(), options)
  expectTypeOf(wrapped).toEqualTypeOf<ClientSubscription>()
  const iterate = async function* () {
    for await (const each of wrapped) yield each
  }
  expectTypeOf(iterate()).toEqualTypeOf<AsyncGenerator<TestEvent, void, unknown>>()
  expectTypeOf(watchSubscription(options).wrap(persistent())).toEqualTypeOf<PersistentClientSubscription>()
})

test('a plain Readable, a generator and a filter keep their types', () => {
  const { options } = rig()
  expectTypeOf(monitorSubscription(Readable.from([]), options)).toEqualTypeOf<Readable>()
  async function* numbered(): AsyncGenerator<TestEvent, void> {}
  expectTypeOf(monitorSubscription(numbered(), options)).toEqualTypeOf<AsyncGenerator<TestEvent, void>>()
  const filter = { filterOn: 'streamName', prefixes: ['order-'] } as const
  expectTypeOf(watchSubscription(options).filter(filter)).toEqualTypeOf<typeof filter>()
})

test('a handler keeps its arguments and what it returns', () => {
  const handle = monitorHandler(async (_: TestEvent, attempt: number) => attempt, rig().options)
  expectTypeOf(handle).toEqualTypeOf<(item: TestEvent, attempt: number) => Promise<number>>()
})

test('a source of other items is refused', () => {
  async function* words(): AsyncGenerator<string> {}
  // @ts-expect-error a source of TestEvents does not describe words
  void (() => monitorSubscription(words(), rig().options))
})
