import { InvalidOptionError } from '@tidemark/core'
import {
  esdbCheckpoints,
  esdbConsumerGroup,
  esdbConsumers,
  esdbEvents,
  monitorPersistentSubscription,
} from '@tidemark/esdb-adapter'
import { expect, test } from 'vitest'

const client = {
  readStream: none,
  readAll: none,
  subscribeToStream: never,
  subscribeToAll: never,
  appendToStream: async () => ({ success: true, nextExpectedRevision: 0n }),
  setStreamMetadata: async () => {},
}

const groupClient = {
  ...client,
  connectionName: 'one',
  getPersistentSubscriptionToStreamInfo: never,
  getPersistentSubscriptionToAllInfo: never,
}

const groups = [{ stream: 'orders', group: 'mailer' }]

type Options = Parameters<typeof esdbEvents>[0]

test.each<[string, object, string]>([
  ['client', {}, 'client'],
  ['client', { client: { readStream: none } }, 'client'],
  ['stream', { client, stream: '' }, 'stream'],
  ['stream', { client, stream: '$all' }, 'leave it out for $all'],
  ['filter', { client, stream: 'orders', filter: { filterOn: 'eventType', regex: '.' } }, 'beside stream'],
  ['filter.filterOn', { client, filter: { filterOn: 'type', regex: '.' } }, `found "type"`],
  ['filter', { client, filter: { filterOn: 'eventType', prefixes: [] } }, 'non-empty'],
  ['filter', { client, filter: { filterOn: 'eventType' } }, 'non-empty'],
  ['filter.regex', { client, filter: { filterOn: 'eventType', regex: '(' } }, `found "("`],
  ['name', { client, name: '' }, 'non-empty'],
  ['resolveLinkTos', { client, resolveLinkTos: 'yes' }, 'boolean'],
  ['timeoutMs', { client, timeoutMs: 0 }, 'above 0'],
  ['steam', { client, steam: 'orders' }, 'one of the options'],
])('a bad %s is refused when the source is made: %j', (option, options, message) => {
  const make = (): unknown => esdbEvents(options as unknown as Options)
  expect(make).toThrow(InvalidOptionError)
  expect(make).toThrow(`${option}: `)
  expect(make).toThrow(message)
})

test.each([
  ['client', {}],
  ['timeoutMs', { client, timeoutMs: Number.NaN }],
  ['timeout', { client, timeout: 1 }],
])('a bad %s is refused when a checkpoint store is made', (option, options) => {
  const make = (): unknown => esdbCheckpoints(options as unknown as Parameters<typeof esdbCheckpoints>[0])
  expect(make).toThrow(InvalidOptionError)
  expect(make).toThrow(`${option}: `)
})

test.each([
  ['client', { client, group: 'mailer' }],
  ['group', { client: groupClient, stream: 'orders' }],
  ['groupName', { client: groupClient, group: 'mailer', groupName: 'mailer' }],
  ['timeoutMs', { client: groupClient, group: 'mailer', timeoutMs: -1 }],
])('a bad %s is refused when a consumer group is made, or monitored', (option, options) => {
  const makes = [
    (): unknown => esdbConsumerGroup(options as unknown as Parameters<typeof esdbConsumerGroup>[0]),
    (): unknown =>
      monitorPersistentSubscription(
        options as unknown as Parameters<typeof monitorPersistentSubscription>[0],
      ).wrap(none()),
  ]
  for (const make of makes) {
    expect(make).toThrow(InvalidOptionError)
    expect(make).toThrow(`${option}: `)
  }
})

test('an option of a monitored group that does not exist is refused with all that do', () => {
  const options = { client: groupClient, streamName: 'orders', group: 'mailer' }
  const make = (): unknown =>
    monitorPersistentSubscription(
      options as unknown as Parameters<typeof monitorPersistentSubscription>[0],
    ).wrap(none())
  expect(make).toThrow(
    'streamName: expected one of the options client, stream, group, projection, name, timeoutMs, headIntervalMs',
  )
})

test('a source is named after its stream, $all, or as it is told', () => {
  expect(esdbEvents({ client, stream: 'orders' }).name).toBe('orders')
  expect(esdbEvents({ client }).name).toBe('$all')
  expect(esdbEvents({ client, name: 'everything' }).name).toBe('everything')
})

test('only a stream yields every position, and only with a filter are events left out', () => {
  expect(esdbEvents({ client, stream: 'orders' })).toMatchObject({
    yieldsEveryPosition: true,
    isFiltered: false,
  })
  expect(esdbEvents({ client })).toMatchObject({ yieldsEveryPosition: false, isFiltered: false })
  const filter = { filterOn: 'streamName', prefixes: ['order-'] } as const
  expect(esdbEvents({ client, filter })).toMatchObject({ yieldsEveryPosition: false, isFiltered: true })
})

test.each([
  ['client', { client: {}, groups }],
  ['groups', {}],
  ['groups', { groups: 'mailer' }],
  ['groups[0].group', { groups: [{ stream: 'orders' }] }],
  ['groups[0].steam', { groups: [{ ...groups[0], steam: '' }] }],
  ['checkpointStreams[0].of', { checkpointStreams: [{ stream: 'checkpoints' }] }],
  ['checkpointStreams[0].field', { checkpointStreams: [{ stream: 'checkpoints', of: 'orders', field: '' }] }],
  ['groups', { groups: [...groups, ...groups] }],
  ['timeoutMs', { groups, timeoutMs: 0 }],
])('a bad %s of esdbConsumers is refused when it is made: %j', (option, options) => {
  const make = (): unknown => esdbConsumers({ client: groupClient, ...options } as never)
  expect(make).toThrow(InvalidOptionError)
  expect(make).toThrow(`${option}: `)
})

async function* none(): AsyncGenerator<never> {}

function never(): never {
  throw new Error('nothing subscribes')
}
