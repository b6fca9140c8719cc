import { createDaemon, type EventSource, type NarrowedEvent, type Projection } from '@tidemark/core'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { describe, expect, expectTypeOf, test } from 'vitest'

type Deposited = { readonly type: 'Deposited'; readonly amount: number }
type Withdrawn = { readonly type: 'Withdrawn'; readonly to: string }
type Closed = { readonly type: 'Closed' }
type AccountEvent = Deposited | Withdrawn | Closed

const checkpoints = inMemoryCheckpoints()
const source = inMemoryEvents({
  mapRow: ({ type, data }): AccountEvent => ({ type, ...Object(data) }),
  typeField: 'type',
})

describe('where the source says which field is the type, a handler is given', () => {
  test('the events of its types alone, each projection of an inline array its own', () => {
    createDaemon({
      source,
      checkpoints,
      projections: [
        {
          name: 'deposits',
          eventTypes: ['Deposited'],
          handle: (events, { signal }) => {
            expectTypeOf(events).toEqualTypeOf<readonly Deposited[]>()
            expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
          },
        },
        {
          name: 'movements',
          eventTypes: ['Deposited', 'Withdrawn'],
          async handle(events) {
            expectTypeOf(events).toEqualTypeOf<readonly (Deposited | Withdrawn)[]>()
          },
        },
        {
          name: 'everything',
          handle: (events) => {
            expectTypeOf(events).toEqualTypeOf<readonly AccountEvent[]>()
          },
        },
      ],
    })
  })

  test('every event, where its types are not literals', () => {
    const eventTypes: string[] = ['Deposited']
    createDaemon({
      source,
      checkpoints,
      projections: [
        {
          name: 'some',
          eventTypes,
          handle: (events) => {
            expectTypeOf(events).toEqualTypeOf<readonly AccountEvent[]>()
          },
        },
      ],
    })
  })

  test('every event, where its events are no union', () => {
    createDaemon({
      source: inMemoryEvents({ mapRow: ({ type, position }) => ({ type, position }), typeField: 'type' }),
      checkpoints,
      projections: [
        {
          name: 'some',
          eventTypes: ['Deposited'],
          handle: (events) => {
            expectTypeOf(events).toEqualTypeOf<readonly { type: string; position: bigint }[]>()
          },
        },
      ],
    })
  })
})

test('without that, a handler is given every event of its source, as the types know', () => {
  createDaemon({
    source: inMemoryEvents({ mapRow: ({ type, data }): AccountEvent => ({ type, ...Object(data) }) }),
    checkpoints,
    projections: [
      {
        name: 'deposits',
        eventTypes: ['Deposited'],
        handle: (events) => {
          expectTypeOf(events).toEqualTypeOf<readonly AccountEvent[]>()
        },
      },
    ],
  })
})

test('projections that are declared elsewhere, in a class too, are taken', () => {
  const declared: Projection<AccountEvent, unknown>[] = [{ name: 'declared', handle: () => {} }]
  const deposits: Projection<Deposited, unknown, 'Deposited'> = {
    name: 'deposits',
    eventTypes: ['Deposited'],
    handle: () => {},
  }
  class Withdrawals {
    readonly name = 'withdrawals'
    readonly eventTypes: readonly 'Withdrawn'[] = ['Withdrawn']
    handle(events: readonly Withdrawn[]): void {
      expect(events).toEqual([])
    }
  }
  createDaemon({ source, checkpoints, projections: declared })
  createDaemon({ source, checkpoints, projections: [...declared, deposits, new Withdrawals()] })
  const generic = <P, E>(of: EventSource<P, E>, projections: readonly Projection<E, undefined>[]) =>
    createDaemon({ source: of, checkpoints, projections })
  generic(source, declared)
})

test('a handler of events that it may not be given is refused, and so is a field that events have not', () => {
  const handle = (events: readonly Deposited[]): void => expect(events).toEqual([])
  void (() => {
    // @ts-expect-error it is given Withdrawn
    createDaemon({ source, checkpoints, projections: [{ name: 'a', eventTypes: ['Withdrawn'], handle }] })
    // @ts-expect-error it is given every event
    createDaemon({ source, checkpoints, projections: [{ name: 'a', handle }] })
    // @ts-expect-error types are texts
    createDaemon({ source, checkpoints, projections: [{ name: 'a', eventTypes: [1], handle: () => {} }] })
    const mapRow = (): AccountEvent => ({ type: 'Closed' })
    // @ts-expect-error there is no such field
    inMemoryEvents({ mapRow, typeField: 'kind' })
  })
  expectTypeOf<NarrowedEvent<AccountEvent, 'type', 'Deposit'>>().toBeNever()
})

test('a type that no event of the union has is refused, beside known ones too', () => {
  const handle = (): void => {}
  void (() => {
    // @ts-expect-error a typing error
    createDaemon({ source, checkpoints, projections: [{ name: 'a', eventTypes: ['Deposit'], handle }] })
    // @ts-expect-error one of two
    createDaemon({ source, checkpoints, projections: [{ name: 'a', eventTypes: ['Closed', 'A'], handle }] })
    const declared: Projection<never, unknown, 'Deposit'> = { name: 'a', eventTypes: ['Deposit'], handle }
    // @ts-expect-error declared elsewhere
    createDaemon({ source, checkpoints, projections: [declared] })
    const some: readonly ('Closed' | 'Deposited')[] = ['Closed']
    createDaemon({ source, checkpoints, projections: [{ name: 'a', eventTypes: some, handle }] })
    const patterns: readonly `D${string}`[] = ['Deposited']
    createDaemon({ source, checkpoints, projections: [{ name: 'a', eventTypes: patterns, handle }] })
  })
})

test('what a handler is given is what its type says', async () => {
  const events = inMemoryEvents({
    mapRow: ({ type, data }): AccountEvent => ({ type, ...Object(data) }),
    typeField: 'type',
  })
  const amounts: number[] = []
  await using daemon = createDaemon({
    source: events,
    checkpoints: inMemoryCheckpoints(),
    projections: [
      {
        name: 'deposits',
        eventTypes: ['Deposited'],
        handle: (deposited) => {
          for (const { amount } of deposited) amounts.push(amount)
        },
      },
    ],
  })
  await daemon.start()
  events.append('Withdrawn', { to: 'bob' })
  events.append('Deposited', { amount: 10 })
  await daemon.waitUntilProjected()
  expect(amounts).toEqual([10])
})
