import { type CheckpointStore, createDaemon } from '@tidemark/core'
import { type AdvanceRequest, wholeUnit } from '@tidemark/core/adapter'
import { inMemoryEvents } from '@tidemark/core/testing'
import { type EsdbEvent, esdbCheckpoints } from '@tidemark/esdb-adapter'
import { describe, expect, test } from 'vitest'
import { never } from '../support/never.ts'
import { type Client, client as clientModule, connect, expecting } from './client.ts'
import { useServer } from './rig.ts'
import { steered } from './server-in-use.ts'

const esdb = useServer()
const own = esdb.own
const checkpointStream = (): string => `tidemark-checkpoint-${own('mailer')}`

test('a checkpoint keeps its position as it is, for whoever reads it', async () => {
  const [one, two] = [store(), store(esdb.connect())]
  expect(
    await one.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()),
  ).toEqual({ position: undefined, skipped: {}, role: 'live' })
  await one.advance(move(undefined, '9223372036854775807/9223372036854775806'), work)
  expect(
    await two.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()),
  ).toEqual({
    position: '9223372036854775807/9223372036854775806',
    skipped: {},
    role: 'live',
  })
})

test('the work comes first, and a checkpoint whose work failed stands where it was', async () => {
  const checkpoints = store()
  const failing = checkpoints.advance(move(undefined, '1/1'), async () => {
    expect(await eventsOf(checkpointStream())).toEqual([])
    throw new Error('the handler failed')
  })
  await expect(failing).rejects.toThrow('the handler failed')
  expect(await eventsOf(checkpointStream())).toEqual([])
})

describe('two owners', () => {
  test('the one that comes second, whenever it began, meets a conflict', async () => {
    const [one, two] = [store(), store(esdb.connect())]
    await Promise.all([
      one.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()),
      two.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()),
    ])
    await two
      .advance(move(undefined, '1/1'), async () => {
        await expect(one.advance(move(undefined, '2/2'), work)).resolves.toMatchObject({ position: '2/2' })
      })
      .then(
        () => expect.unreachable('both moved it'),
        (error: unknown) => expect(error).toMatchObject({ code: 'TIDEMARK_CHECKPOINT_CONFLICT' }),
      )
    await expect(two.advance(move(undefined, '3/3'), work)).rejects.toMatchObject({
      code: 'TIDEMARK_CHECKPOINT_CONFLICT',
    })
    expect(
      (await two.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()))
        .position,
    ).toBe('2/2')
    await two.advance(move('2/2', '3/3'), work)
    await expect(one.advance(move('2/2', '4/4'), work)).rejects.toMatchObject({
      code: 'TIDEMARK_CHECKPOINT_CONFLICT',
    })
  })

  test('meet it also with a client that reports a wrong revision instead of throwing', async () => {
    const lenient = connect({
      connectionString: `${esdb.server.connectionString}&throwOnAppendFailure=false`,
    })
    try {
      const [one, two] = [store(), store(lenient)]
      await two.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never())
      await one.advance(move(undefined, '1/1'), work)
      await expect(two.advance(move(undefined, '2/2'), work)).rejects.toMatchObject({
        code: 'TIDEMARK_CHECKPOINT_CONFLICT',
      })
    } finally {
      await lenient.dispose()
    }
  })
})

test('only the last event of a checkpoint stream is kept', async () => {
  const checkpoints = store()
  let from: string | undefined
  for (const to of ['1/1', '2/2', '3/3']) {
    await checkpoints.advance(move(from, to), work)
    from = to
  }
  const kept = await eventsOf(checkpointStream())
  expect(kept.map(({ event }) => event?.revision)).toEqual([2n])
})

steered('a process that ended before it had bounded the stream is made good by the next one', async () => {
  await esdb.server.refuseCalls({ kind: 'append', stream: `$$${checkpointStream()}` }, 'access-denied', 1)
  const first = store()
  await expect(first.advance(move(undefined, '1/1'), work)).rejects.toMatchObject({ type: 'access-denied' })
  await store().advance(move('1/1', '2/2'), work)
  expect(await eventsOf(checkpointStream())).toHaveLength(1)
})

steered(
  'an append that was not answered in time is given up, and what is known of the checkpoint with it',
  async () => {
    const checkpoints = esdbCheckpoints({ client: esdb.client, timeoutMs: 3_000 })
    await checkpoints.advance(move(undefined, '1/1'), work)
    esdb.server.freeze()
    const advancing = await checkpoints.advance(move('1/1', '2/2'), work).catch((error: unknown) => error)
    expect(advancing).toMatchObject({ code: 'TIDEMARK_ESDB_TIMEOUT' })
    expect(checkpoints.isTransient(advancing)).toBe(true)
    esdb.server.thaw()
    // Written or not: it goes on from what the store says.
    const { position } = await checkpoints.open(
      wholeUnit(own('mailer')),
      { source: own('source'), head: undefined },
      never(),
    )
    await checkpoints.advance(move(position, '3/3'), work)
    expect(
      (await store().open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()))
        .position,
    ).toBe('3/3')
  },
)

steered(
  'one that hung, and is done behind the read that follows, is a conflict once, and nothing is moved twice',
  async () => {
    const checkpoints = esdbCheckpoints({ client: esdb.client, timeoutMs: 1_000 })
    await checkpoints.advance(move(undefined, '1/1'), work)
    await esdb.server.postpone({ kind: 'append', stream: checkpointStream() })
    await expect(checkpoints.advance(move('1/1', '2/2'), work)).rejects.toMatchObject({
      code: 'TIDEMARK_ESDB_TIMEOUT',
    })
    expect(
      (await checkpoints.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()))
        .position,
    ).toBe('1/1')
    await esdb.server.resume()
    await expect.poll(() => eventsOf(checkpointStream()).then(([last]) => last?.event?.revision)).toBe(1n)
    await expect(checkpoints.advance(move('1/1', '2/2'), work)).rejects.toMatchObject({
      code: 'TIDEMARK_CHECKPOINT_CONFLICT',
    })
    expect(
      (await checkpoints.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()))
        .position,
    ).toBe('2/2')
    await checkpoints.advance(move('2/2', '3/3'), work)
  },
)

test('a stream that was deleted, to project anew, begins from nothing', async () => {
  await store().advance(move(undefined, '1/1'), work)
  await esdb.client.deleteStream(checkpointStream())
  const checkpoints = store()
  expect(
    (await checkpoints.open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()))
      .position,
  ).toBeUndefined()
  await checkpoints.advance(move(undefined, '2/2'), work)
  await checkpoints.advance(move('2/2', '3/3'), work)
  expect(
    (await store().open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()))
      .position,
  ).toBe('3/3')
})

test('progress lists the checkpoints of a source, and of no other', async () => {
  const checkpoints = store()
  await checkpoints.advance(move(undefined, '1/1'), work)
  await checkpoints.advance(
    { ...move(undefined, '7'), unit: wholeUnit(own('orders')), source: own('orders') },
    work,
  )
  await checkpoints.advance({ ...move(undefined, '2/2'), unit: wholeUnit(own('billing')) }, work)
  await checkpoints.advance(move('1/1', '3/3'), work)
  expect(await store().progress(own('source'), never())).toEqual([
    { unit: wholeUnit(own('mailer')), position: '3/3' },
    { unit: wholeUnit(own('billing')), position: '2/2' },
  ])
  expect(await store().progress(own('orders'), never())).toEqual([
    { unit: wholeUnit(own('orders')), position: '7' },
  ])
  expect(await store().progress(own('customers'), never())).toEqual([])
})

test('progress reads no checkpoint stream of another source', async () => {
  await store().advance(move(undefined, '1/1'), work)
  const orders = { unit: wholeUnit(own('orders')), source: own('orders') }
  await store().advance({ ...move(undefined, '7'), ...orders }, work)
  const read: string[] = []
  const { client } = esdb
  const counting = new Proxy(client, {
    get: (_, method) => {
      const called: unknown = Reflect.get(client, method)
      if (typeof called !== 'function') return called
      return (...args: unknown[]) => {
        if (method === 'readStream') read.push(String(args[0]))
        return called.apply(client, args)
      }
    },
  })
  await store(counting).progress(own('source'), never())
  expect(read).toEqual(['tidemark-checkpoints', checkpointStream()])
})

test('the checkpoint of another source is not taken over', async () => {
  await store().advance(move(undefined, '1/1'), work)
  await expect(
    store().open(wholeUnit(own('mailer')), { source: own('orders'), head: undefined }, never()),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_PROJECTION_SOURCE',
    message: expect.stringContaining(`delete stream "${checkpointStream()}"`),
  })
})

test('what someone else wrote to a checkpoint stream is not taken for a checkpoint', async () => {
  const event = clientModule.jsonEvent({ type: 'Something', data: { position: 7 } })
  await esdb.client.appendToStream(checkpointStream(), event, expecting('no_stream'))
  await expect(
    store().open(wholeUnit(own('mailer')), { source: own('source'), head: undefined }, never()),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_ESDB_CHECKPOINT_FORMAT',
  })
})

test('runs that were skipped cannot be kept, and a daemon whose source skips some is refused when it is made', async () => {
  const source = Object.assign(inMemoryEvents(), { passesUnproven: true })
  const projections = [{ name: 'all', handle: () => {} }]
  expect(() => createDaemon({ source, checkpoints: store(), projections })).toThrow(
    expect.objectContaining({
      code: 'TIDEMARK_UNSUPPORTED_BY_STORE',
      option: 'checkpoints',
      store: 'esdbCheckpoints',
      message: expect.stringContaining('postgresCheckpoints'),
    }),
  )
})

function store(client: Client = esdb.client): CheckpointStore<undefined> {
  return esdbCheckpoints({ client })
}

function move(from: string | undefined, to: string): AdvanceRequest {
  return {
    unit: wholeUnit(own('mailer')),
    source: own('source'),
    from,
    to,
    evidence: { incarnation: 'log', settled: to, logPosition: undefined },
    signal: new AbortController().signal,
  }
}

async function work(): Promise<void> {}

async function eventsOf(stream: string): Promise<EsdbEvent[]> {
  const events: EsdbEvent[] = []
  try {
    for await (const event of esdb.client.readStream(stream)) events.push(event as EsdbEvent)
  } catch (error) {
    if ((error as { type?: string }).type !== 'stream-not-found') throw error
  }
  return events
}
