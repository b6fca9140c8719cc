import { createWatch, type Watch, type WatchedConsumer } from '@tidemark/core'
import { type EsdbGroupClient, esdbConsumers, watchedEsdbEvents } from '@tidemark/esdb-adapter'
import { afterEach, describe, expect, test } from 'vitest'
import { client as clientModule } from './client.ts'
import { endOfAll } from './own-names.ts'
import { never, numbered, useServer } from './rig.ts'
import { steered } from './server-in-use.ts'

const esdb = useServer()
const own = esdb.own
const POLLING = { timeout: 40_000, interval: 50 } as const
let watch: Watch | undefined

afterEach(() => watch?.stop())

describe('the group of a persistent subscription', () => {
  test('to a stream is shown with its position, its lag, what is parked, and whether it moves', async () => {
    await createGroup()
    await esdb.server.write(own('orders'), numbered(0, 9))
    await startWatch([{ stream: own('orders'), group: own('mailer') }])
    await expect
      .poll(shown, POLLING)
      .toMatchObject({ checkpoint: 'no checkpoint yet', isUnderstood: false, place: undefined, parked: 0n })

    let upTo = 5
    const waiting: (() => void)[] = []
    const subscription = esdb.client.subscribeToPersistentSubscriptionToStream(own('orders'), own('mailer'))
    subscription.on('error', () => {})
    subscription.on('data', (event) => {
      const { n } = (event.event?.data ?? {}) as { n?: number }
      if (n === 3) return void subscription.nack('park', 'no address', event)
      const ack = () => void subscription.ack(event)
      if (Number(n) <= upTo) ack()
      else waiting.push(ack)
    })
    await expect
      .poll(shown, POLLING)
      .toMatchObject({ checkpoint: '5', isUnderstood: true, place: 'in_log', lagPositions: 4n, parked: 1n })
    await expect.poll(() => waiting.length, POLLING).toBe(4)
    upTo = 9
    for (const ack of waiting) ack()
    await expect.poll(shown, POLLING).toMatchObject({ checkpoint: '9', lagPositions: 0n, parked: 1n })
    expect(shown()?.moves).toBeGreaterThan(0)
    expect(shown()).toMatchObject({ exposedPositions: 0n, lost: 0, passed: 0, cannotTell: {} })
    expect(watch?.lost()).toEqual([])
    await subscription.unsubscribe()
  })

  test('to $all is shown with its position, and without a lag: distances in $all are bytes', async () => {
    const startFrom = await endOfAll(esdb.client)
    const filter = clientModule.streamNameFilter({ prefixes: [own('orders')] })
    await esdb.client.createPersistentSubscriptionToAll(
      own('mailer'),
      { ...settings(), startFrom } as never,
      { filter },
    )
    await esdb.server.write(own('orders'), numbered(0, 4))
    const subscription = esdb.client.subscribeToPersistentSubscriptionToAll(own('mailer'))
    subscription.on('error', () => {})
    subscription.on('data', (event) => void subscription.ack(event))
    await startWatch([{ stream: '$all', group: own('mailer') }])
    await expect.poll(shown, POLLING).toMatchObject({
      consumer: `esdb.$all::${own('mailer')}`,
      checkpoint: expect.stringMatching(/^[0-9]+\/[0-9]+$/),
      place: 'in_log',
      lagPositions: undefined,
      parked: 0n,
    })
    await subscription.unsubscribe()
  })

  test('that is not there, or is deleted, is shown as such beside the others', async () => {
    await createGroup()
    await startWatch([
      { stream: own('orders'), group: own('mailer') },
      { stream: own('orders'), group: own('nobody') },
    ])
    const texts = () => watch?.status().consumers.map(({ checkpoint }) => checkpoint)
    await expect.poll(texts, POLLING).toEqual(['no checkpoint yet', 'no such group'])
    await esdb.client.deletePersistentSubscriptionToStream(own('orders'), own('mailer'))
    await expect.poll(texts, POLLING).toEqual(['no such group', 'no such group'])
    expect(watch?.status().state).toBe('watching')
  })
})

describe('a checkpoint stream', () => {
  test.each([
    ['a number', 3, undefined, '3'],
    ['a text', '3', undefined, '3'],
    ['a field', { position: 3 }, 'position', '3'],
    ['a field that is a text', { position: '3' }, 'position', '3'],
    ['another field', { revision: 3 }, 'position', 'no position: no such field'],
    ['no position', { position: 'three' }, 'position', 'no position: "three"'],
    ['a negative number', -1, undefined, 'no position: -1'],
  ])('of a stream is its last event: %s', async (_, data, field, text) => {
    await esdb.server.write(own('orders'), numbered(0, 9))
    await checkpoint(0)
    await checkpoint(data)
    const isUnderstood = text === '3'
    expect(await read(own('orders'), field)).toMatchObject({
      consumer: own('checkpoints'),
      text,
      checkpoint: isUnderstood ? { kind: 'position', position: 3n } : undefined,
      inLog: isUnderstood ? { place: 'in_log', lagPositions: 6n } : { place: undefined },
    })
  })

  test.each([
    ['commit/prepare', ({ commit, prepare }: Place) => `${commit}/${prepare}`],
    ['C:commit/P:prepare', ({ commit, prepare }: Place) => `C:${commit}/P:${prepare}`],
    ['an object', ({ commit, prepare }: Place) => ({ commit: String(commit), prepare: String(prepare) })],
    ['a number', ({ commit }: Place) => Number(commit)],
  ])('of $all is its last event: %s', async (_, write) => {
    const at = await append()
    await append()
    await checkpoint(write(at))
    expect(await read('$all')).toMatchObject({
      text: `${at.commit}/${at.prepare}`,
      inLog: { place: 'in_log', lagPositions: undefined },
    })
  })

  test('that has no event yet, or is deleted for good, has no checkpoint', async () => {
    expect(await read(own('orders'))).toMatchObject({ text: 'no checkpoint yet', checkpoint: undefined })
    await checkpoint(3)
    await esdb.client.tombstoneStream(own('checkpoints'))
    expect(await read(own('orders'))).toMatchObject({ text: 'its checkpoint stream was deleted' })
  })
})

describe('a checkpoint', () => {
  test('above the newest event of its stream is beyond the log, until the log has come there', async () => {
    await esdb.server.write(own('orders'), numbered(0, 4))
    await checkpoint(6)
    const lines = await startWatch([], [{ stream: own('checkpoints'), of: own('orders') }])
    await expect.poll(shown, POLLING).toMatchObject({ place: 'beyond_log', lagPositions: undefined })
    const looks = watch?.status().looks ?? 0
    await expect.poll(() => watch?.status().looks, POLLING).toBeGreaterThan(looks)
    expect(lines).toEqual([
      `tidemark: the checkpoint of consumer "esdb.${own('checkpoints')}", 6, stands beyond the end of its log: the store was ` +
        'restored from a backup, or is another one; what is appended up to there may never be given to this consumer',
    ])
    await esdb.server.write(own('orders'), numbered(5, 6))
    await expect.poll(shown, POLLING).toMatchObject({ place: 'in_log', lagPositions: 0n })
  })

  test('of a stream that never had an event is beyond the log', async () => {
    await checkpoint(0)
    expect(await read(own('orders'))).toMatchObject({ inLog: { place: 'beyond_log' } })
  })

  test.each([
    ['truncated', () => esdb.client.setStreamMetadata(own('orders'), { truncateBefore: 5 }), 6n],
    ['deleted', () => esdb.client.deleteStream(own('orders')), undefined],
    ['deleted for good', () => esdb.client.tombstoneStream(own('orders')), undefined],
  ])('at an event that was %s is off the log', async (_, remove, lagPositions) => {
    await esdb.server.write(own('orders'), numbered(0, 9))
    await checkpoint(3)
    expect(await read(own('orders'))).toMatchObject({ inLog: { place: 'in_log' } })
    await remove()
    const { inLog } = await read(own('orders'))
    expect(inLog).toEqual({ place: 'off_log', lagPositions, parked: undefined })
  })

  test('in $all at which no event begins is off the log; one above the newest is beyond it', async () => {
    const { commit } = await append()
    await append()
    await checkpoint(String(commit + 1n))
    expect(await read('$all')).toMatchObject({ inLog: { place: 'off_log' } })
    await checkpoint(String(commit + 2n ** 40n))
    expect(await read('$all')).toMatchObject({ inLog: { place: 'beyond_log' } })
  })
})

steered('a server that comes back without its log is watched anew, and its groups are gone', async () => {
  await createGroup()
  await esdb.server.write(own('orders'), numbered(0, 4))
  await startWatch([{ stream: own('orders'), group: own('mailer') }])
  await expect.poll(shown, POLLING).toMatchObject({ checkpoint: 'no checkpoint yet' })
  await esdb.server.restart({ keepLog: false })
  await expect.poll(shown, POLLING).toMatchObject({ checkpoint: 'no such group' })
  await expect.poll(() => watch?.status().begunAnew, POLLING).toBeGreaterThan(0)
  await expect.poll(() => watch?.status().state, POLLING).toBe('watching')
})

type Place = Awaited<ReturnType<typeof append>>

async function append() {
  const { position } = await esdb.client.appendToStream(
    own('orders'),
    clientModule.jsonEvent({ type: 'Placed', data: {} }),
  )
  if (position === undefined) throw new Error('the server has not said where the event stands')
  return position
}

async function checkpoint(data: unknown): Promise<void> {
  await esdb.client.appendToStream(
    own('checkpoints'),
    clientModule.jsonEvent({ type: 'Checkpoint', data: data as Record<string, unknown> }),
  )
}

async function read(of: string, field?: string) {
  const stream = { stream: own('checkpoints'), of, ...(field === undefined ? {} : { field }) }
  const [consumer] = await esdbConsumers({ client: groupClient(), checkpointStreams: [stream] }).read(never())
  if (consumer === undefined) throw new Error('a consumer that is named is always there')
  return consumer
}

type ConsumersOptions = Parameters<typeof esdbConsumers>[0]

async function startWatch(
  groups: ConsumersOptions['groups'],
  checkpointStreams: ConsumersOptions['checkpointStreams'] = [],
): Promise<string[]> {
  const lines: string[] = []
  const log = (line: string): void => void lines.push(line)
  watch = createWatch({
    source: watchedEsdbEvents({ client: esdb.client }),
    consumers: esdbConsumers({ client: groupClient(), groups, checkpointStreams } as ConsumersOptions),
    logger: { info: () => {}, warn: log, error: log },
  })
  await watch.start()
  return lines
}

function shown(): WatchedConsumer | undefined {
  return watch?.status().consumers[0]
}

/** Writes its checkpoint with every event. */
function settings() {
  return clientModule.persistentSubscriptionToStreamSettingsFromDefaults({
    startFrom: 'start',
    checkPointLowerBound: 1,
    checkPointUpperBound: 1,
    checkPointAfter: 50,
    readBatchSize: 20,
    historyBufferSize: 40,
  })
}

async function createGroup(): Promise<void> {
  await esdb.client.createPersistentSubscriptionToStream(own('orders'), own('mailer'), settings())
}

function groupClient(): EsdbGroupClient {
  return esdb.client as EsdbGroupClient
}
