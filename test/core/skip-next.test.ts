import { createOperations, type Operations } from '@tidemark/core/operations'
import { afterEach, describe, expect, test } from 'vitest'
import {
  alteredCheckpoints,
  alteredLetters,
  type Event,
  positionOf,
  projectionOf,
  type Rig,
  recording,
  rig,
  stateOf,
  stopAll,
  TransientError,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const ASK = { projection: 'orders', who: 'ann', why: 'a test customer' }
const REFUSED = 'TIDEMARK_OPERATION_REFUSED'

/** Fails wherever one of these is. */
function poisonable(poison: ReadonlySet<bigint>, options: Parameters<typeof recording>[1] = {}) {
  const recorded = recording('orders', options)
  const handle: typeof recorded.handle = (batch, context) => {
    const found = batch.find(({ position }) => poison.has(position))
    if (found) throw new Error(`cannot handle ${found.position}`)
    return recorded.handle(batch, context)
  }
  return { projection: { ...recorded, handle }, seen: recorded.seen }
}

function appended({ events }: Pick<Rig, 'events'>, count: number): void {
  for (let n = 0; n < count; n++) events.append('a', n)
}

const others = (count: number, ...left: bigint[]): bigint[] =>
  Array.from({ length: count }, (_, index) => BigInt(index + 1)).filter((at) => !left.includes(at))

const operator = ({ checkpoints, events }: Rig): Operations<bigint> =>
  createOperations({ checkpoints, source: events })

describe('skipNext', () => {
  test('passes the event at which a projection is paused, with a dead letter that says who wanted it and why', async () => {
    const made = rig()
    appended(made, 10)
    const { projection, seen } = poisonable(new Set([4n]), { batchSize: 4, attempts: 2 })
    const running = made.daemon([projection])
    await running.start()
    await made.clock.until(() => stateOf(running, 'orders') === 'paused')
    const operations = operator(made)
    const done = await made.clock.run(operations.skipNext({ ...ASK, position: 4n }))
    expect(done).toMatchObject({
      outcome: 'done',
      entry: {
        operation: 'skip',
        who: 'ann',
        why: 'a test customer',
        before: { position: '3', skipped: {} },
        after: { position: '4', skipped: { apply_error: 1n } },
      },
    })
    await made.clock.until(() => positionOf(running, 'orders') === 10n)
    expect(seen).toEqual(others(10, 4n))
    expect(projectionOf(running, 'orders')).toMatchObject({
      state: 'live',
      skipped: { apply_error: 1n },
      asked: undefined,
    })
    expect(projectionOf(running, 'orders').failure).toBeUndefined()
    expect(await operations.deadLetters.list({ state: 'open' })).toMatchObject([
      {
        firstPosition: '4',
        lastPosition: '4',
        events: 1,
        eventTypes: ['a'],
        stage: 'handle',
        error: { name: 'Error', message: 'cannot handle 4' },
        tries: 2,
        skippedBy: { who: 'ann', why: 'a test customer' },
      },
    ])
  })

  test('asked again, it is done already, and the event behind is not touched, though it fails too', async () => {
    const made = rig()
    appended(made, 10)
    const { projection, seen } = poisonable(new Set([4n, 5n]), { attempts: 1 })
    const running = made.daemon([projection])
    await running.start()
    await made.clock.until(() => stateOf(running, 'orders') === 'paused')
    const operations = operator(made)
    const asked = Array.from({ length: 10 }, () => operations.skipNext({ ...ASK, position: 4n }))
    const outcomes = await made.clock.run(Promise.all(asked))
    expect(outcomes.filter(({ outcome }) => outcome === 'done')).toHaveLength(1)
    await made.clock.until(
      () =>
        projectionOf(running, 'orders').failure?.batch?.firstPosition === '5' &&
        stateOf(running, 'orders') === 'paused',
    )
    const again = await made.clock.run(operations.skipNext({ ...ASK, position: 4n }))
    expect(again).toMatchObject({ outcome: 'already', entry: { after: { position: '4' } } })
    expect(new Set([again, ...outcomes].map(({ entry }) => entry?.id)).size).toBe(1)
    expect(projectionOf(running, 'orders')).toMatchObject({ state: 'paused', position: 4n })
    expect(await operations.audit()).toHaveLength(1)
    expect(seen).toEqual([1n, 2n, 3n])
  })

  test('passes an event that is still being tried again', async () => {
    const made = rig()
    appended(made, 5)
    const { projection, seen } = poisonable(new Set([2n]), { attempts: 1_000 })
    const running = made.daemon([projection])
    await running.start()
    await made.clock.until(() => (projectionOf(running, 'orders').failure?.attempt ?? 0) > 2)
    expect(stateOf(running, 'orders')).toBe('retrying')
    await made.clock.run(operator(made).skipNext({ ...ASK, position: 2n }))
    await made.clock.until(() => positionOf(running, 'orders') === 5n)
    expect(seen).toEqual(others(5, 2n))
  })

  test('passes an event that cannot be mapped, once what is before it is handled', async () => {
    const made = rig()
    appended(made, 8)
    const { projection, seen } = poisonable(new Set(), { batchSize: 8, attempts: 1 })
    const { EventMappingError, altered } = await mapping()
    const source = altered(made.events, {
      load: async (request) => {
        const page = await made.events.load(request)
        if (page.positions.includes(6n)) throw new EventMappingError('6', new Error('no such field'), 'a')
        return page
      },
    })
    const running = made.daemon([projection], { source })
    await running.start()
    await made.clock.until(() => stateOf(running, 'orders') === 'paused')
    await made.clock.run(operator(made).skipNext({ ...ASK, position: 6n }))
    await made.clock.until(() => positionOf(running, 'orders') === 8n)
    expect(seen).toEqual(others(8, 6n))
    expect(await operator(made).deadLetters.list()).toMatchObject([{ firstPosition: '6', stage: 'map' }])
  })

  test('is done by a daemon that starts later, once the event fails there too', async () => {
    const made = rig()
    appended(made, 10)
    const { projection, seen } = poisonable(new Set([7n]), { batchSize: 5, attempts: 3 })
    const first = made.daemon([projection])
    await first.start()
    await made.clock.until(() => stateOf(first, 'orders') === 'paused')
    await made.clock.run(first.stop())
    const operations = operator(made)
    const asked = [1, 2, 3].map(() => operations.skipNext({ ...ASK, position: 7n }))
    await made.clock.run(
      (async () => {
        while ((await operations.list())[0]?.asked === undefined) await Promise.resolve()
      })(),
    )
    expect((await operations.list())[0]?.asked).toMatchObject({ operation: 'skip', position: '7' })
    const second = made.daemon([projection])
    await second.start()
    const outcomes = await made.clock.run(Promise.all(asked))
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['already', 'already', 'done'])
    await made.clock.until(() => positionOf(second, 'orders') === 10n)
    expect(seen).toEqual(others(10, 7n))
  })

  test('is refused by a daemon that starts later with a handler that is mended', async () => {
    const made = rig()
    appended(made, 10)
    const poison = new Set([7n])
    const { projection, seen } = poisonable(poison, { attempts: 1 })
    const first = made.daemon([projection])
    await first.start()
    await made.clock.until(() => stateOf(first, 'orders') === 'paused')
    await made.clock.run(first.stop())
    poison.clear()
    const operations = operator(made)
    const asked = expect(operations.skipNext({ ...ASK, position: 7n })).rejects.toMatchObject({
      code: REFUSED,
      message: expect.stringMatching(/7 has passed, its checkpoint is 10; nothing was changed/),
    })
    await made.clock.run(
      (async () => {
        while ((await operations.list())[0]?.asked === undefined) await Promise.resolve()
      })(),
    )
    await made.daemon([projection]).start()
    await made.clock.run(asked)
    expect(seen).toEqual(others(10))
    expect(await operations.deadLetters.list()).toEqual([])
  })

  test('is done for an event at which the handler has ended its transaction, and not for a batch of several', async () => {
    const { HandlerEndedTransactionError } = await import('@tidemark/core/adapter')
    for (const [batchSize, isSkipped] of [
      [1, true],
      [5, false],
    ] as const) {
      const made = rig()
      appended(made, 5)
      const recorded = recording('orders', { batchSize })
      const handle = (batch: readonly Event[], context: Parameters<typeof recorded.handle>[1]) => {
        if (batch.some(({ position }) => position === 3n)) throw new HandlerEndedTransactionError('orders')
        return recorded.handle(batch, context)
      }
      const running = made.daemon([{ ...recorded, handle }])
      await running.start()
      await made.clock.until(() => stateOf(running, 'orders') === 'paused')
      const first = isSkipped ? 3n : 1n
      const asked = made.clock.run(operator(made).skipNext({ ...ASK, position: first }))
      if (isSkipped) {
        await asked
        await made.clock.until(() => positionOf(running, 'orders') === 5n)
      } else {
        await expect(asked).rejects.toThrow(
          /has ended the transaction of several events .*none is known to fail/,
        )
        await made.clock.advance(600_000)
        expect(projectionOf(running, 'orders')).toMatchObject({ state: 'paused', position: undefined })
      }
      expect(recorded.seen).toEqual(isSkipped ? others(5, 3n) : [])
    }
  })

  test('that is refused says what there is: it runs, fails elsewhere, has passed, or somebody has paused it', async () => {
    const made = rig()
    appended(made, 10)
    const poison = new Set<bigint>()
    const { projection } = poisonable(poison, { attempts: 1 })
    const running = made.daemon([projection])
    await running.start()
    await made.clock.until(() => positionOf(running, 'orders') === 10n)
    const operations = operator(made)
    const refused = async (position: bigint, message: RegExp): Promise<void> => {
      await expect(made.clock.run(operations.skipNext({ ...ASK, position }))).rejects.toMatchObject({
        code: REFUSED,
        message: expect.stringMatching(message),
      })
    }
    await refused(11n, /it runs and nothing fails, its checkpoint is 10; nothing was changed/)
    await refused(9n, /9 has passed, its checkpoint is 10/)
    poison.add(12n)
    appended(made, 3)
    await made.clock.until(() => stateOf(running, 'orders') === 'paused')
    await refused(13n, /it fails.*12.*and not at 13/)
    await operations.pause({ projection: 'orders', who: 'bob', why: 'a migration' })
    await refused(12n, /bob has paused it \(a migration\); resume it, or move it over 12/)
    expect(await operations.deadLetters.list()).toEqual([])
    expect(positionOf(running, 'orders')).toBe(11n)
  })

  test('waits while the store fails, and is refused where its dead letter cannot be written', async () => {
    const made = rig()
    appended(made, 5)
    const { deadLetters } = made.checkpoints
    if (deadLetters === undefined) throw new Error('checkpoints in memory keep dead letters')
    let faults = 3
    const store = alteredCheckpoints(made.checkpoints, {
      deadLetters: alteredLetters(deadLetters, {
        bury: async (...args) => {
          if (faults-- > 0) throw new TransientError('connection refused')
          if (faults === -1) throw new Error('permission denied for table dead_letters')
          await deadLetters.bury(...args)
        },
      }),
      isTransient: (error) => error instanceof TransientError,
    })
    const { projection, seen } = poisonable(new Set([2n]), { attempts: 1 })
    const running = made.daemon([projection], { checkpoints: store })
    await running.start()
    await made.clock.until(() => stateOf(running, 'orders') === 'paused')
    const operations = operator(made)
    await expect(made.clock.run(operations.skipNext({ ...ASK, position: 2n }))).rejects.toThrow(
      /a dead letter could not be written: permission denied for table dead_letters; nothing was changed/,
    )
    expect(positionOf(running, 'orders')).toBe(1n)
    await made.clock.run(operations.skipNext({ ...ASK, position: 2n }))
    await made.clock.until(() => positionOf(running, 'orders') === 5n)
    expect(seen).toEqual(others(5, 2n))
  })

  test('takes a source and a position of it, and a store that keeps dead letters', async () => {
    const made = rig()
    const { checkpoints, events } = made
    await expect(
      createOperations({ checkpoints }).skipNext({ ...ASK, position: 1n as never }),
    ).rejects.toThrow(/source: expected the EventSource, since skipNext compares positions/)
    await expect(operator(made).skipNext({ ...ASK, position: 'x' as never })).rejects.toThrow(
      /^position: expected a position/,
    )
    const { deadLetters: _, ...without } = alteredCheckpoints(checkpoints, {})
    const operations = createOperations<bigint>({ checkpoints: without, source: events })
    await expect(operations.skipNext({ ...ASK, position: 1n })).rejects.toThrow(/deadLetters/)
  })
})

async function mapping() {
  const [{ EventMappingError }, { altered }] = await Promise.all([
    import('@tidemark/core/adapter'),
    import('./rig.ts'),
  ])
  return { EventMappingError, altered }
}
