import {
  createDaemon,
  createHighWaterAgent,
  type DaemonOptions,
  InvalidOptionError,
  type MonitorOptions,
  monitorSubscription,
} from '@tidemark/core'
import { denseOrder } from '@tidemark/core/adapter'
import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { describe, expect, test } from 'vitest'
import { resolveHighWaterAgentOptions } from '../../packages/core/src/high-water/options.ts'
import { altered, type Event } from './rig.ts'

const source = inMemoryEvents<unknown>()
const good = { name: 'balances', handle: async () => {} }

function daemonWith(options: Record<string, unknown>) {
  const all = { source, checkpoints: inMemoryCheckpoints(), projections: [good], ...options }
  return () => createDaemon(all as unknown as DaemonOptions<bigint, Event, undefined>)
}

const monitoring: MonitorOptions<bigint, unknown> = {
  projection: 'mailer',
  source: {
    name: 'orders',
    order: denseOrder,
    yieldsEveryPosition: true,
    describe: () => ({ position: undefined, appendedAtMs: undefined, hasEvent: true }),
    readHead: async () => undefined,
    dropReason: () => 'unknown',
  },
}

describe('an option that cannot work is refused at construction, by its name and value:', () => {
  test.each<[string, Record<string, unknown>, string]>([
    ['projections', { projections: [] }, 'projections: expected at least one projection, found an array'],
    [
      'projections',
      { projections: undefined },
      'projections: expected at least one projection, found undefined',
    ],
    ['projections[0].name', { projections: [{ ...good, name: '' }] }, 'found ""'],
    ['projections[0].name', { projections: [{ ...good, name: '  ' }] }, 'found "  "'],
    ['projections[0].name', { projections: [{ ...good, name: 7 }] }, 'found 7'],
    ['projections[0]', { projections: [null] }, 'found null'],
    ['projections[1].name', { projections: [good, good] }, 'a name and version used once, found "balances"'],
    ['projections[0].name', { projections: [{ ...good, name: 'bal\0ances' }] }, 'none of them NUL'],
    ['projections[0].handle', { projections: [{ name: 'balances' }] }, 'a function, found undefined'],
    ['projections[0].version', { projections: [{ ...good, version: 0 }] }, 'found 0'],
    ['projections[0].version', { projections: [{ ...good, version: 2 ** 31 }] }, 'at most 2147483647'],
    [
      'projections[1].name',
      {
        projections: [
          { ...good, version: 2 },
          { ...good, name: 'balances@2' },
        ],
      },
      'a name and version used once, found "balances@2"',
    ],
    ['projections[0].batchSize', { projections: [{ ...good, batchSize: 0 }] }, 'found 0'],
    ['projections[0].batchSize', { projections: [{ ...good, batchSize: 2.5 }] }, 'found 2.5'],
    ['projections[0].attempts', { projections: [{ ...good, attempts: '3' }] }, 'found "3"'],
    [
      'projections[0].onFailure',
      { projections: [{ ...good, onFailure: 'ignore' }] },
      "expected 'pause', 'skip', 'park_key' or a function, found \"ignore\"",
    ],
    ['projections[0].longestPauseMs', { projections: [{ ...good, longestPauseMs: 999 }] }, 'found 999'],
    [
      'projections[0].longestPauseMs',
      { projections: [{ ...good, longestPauseMs: 2 ** 31 }] },
      'an integer from 1000 to 2147483647, found 2147483648',
    ],
    [
      'projections[0].longestPauseMs',
      { projections: [{ ...good, longestPauseMs: Number.POSITIVE_INFINITY }] },
      'found Infinity',
    ],
    ...[0, 1.5, '60s', 2 ** 31, 365 * 86_400_000, Number.POSITIVE_INFINITY].map(
      (handlerTimeoutMs): [string, Record<string, unknown>, string] => [
        'projections[0].handlerTimeoutMs',
        { projections: [{ ...good, handlerTimeoutMs }] },
        'an integer from 1 to 2147483647, found',
      ],
    ),
    ['projections[0].eventTypes', { projections: [{ ...good, eventTypes: [] }] }, 'found an array'],
    ['projections[0].eventTypes', { projections: [{ ...good, eventTypes: 'opened' }] }, 'found "opened"'],
    ['projections[0].eventTypes', { projections: [{ ...good, eventTypes: [7] }] }, 'found an array'],
    ['drainTimeoutMs', { drainTimeoutMs: 0 }, 'found 0'],
    ['drainTimeoutMs', { drainTimeoutMs: Number.NaN }, 'found NaN'],
    ['pollIntervalMs', { pollIntervalMs: -1 }, 'found -1'],
    ['pollIntervalMs', { pollIntervalMs: Number.POSITIVE_INFINITY }, 'found Infinity'],
    ['pollDelayMs', { pollDelayMs: -1 }, 'found -1'],
    ['pollDelayMs', { pollDelayMs: Number.NaN }, 'found NaN'],
    ['pollDelayMs', { pollDelayMs: '25' }, 'found "25"'],
    [
      'pollDelayMs',
      { pollDelayMs: 21, pollIntervalMs: 20 },
      'expected a number from 0 to pollIntervalMs, which is 20, found 21',
    ],
    ['pollTimeShare', { pollTimeShare: 0 }, 'found 0'],
    ['pollTimeShare', { pollTimeShare: 50 }, 'at most 1, found 50'],
    ['staleAfterMs', { staleAfterMs: '3s' }, 'found "3s"'],
    ['nodes', { nodes: null }, 'nodes: expected an object, found null'],
    ['nodes.of', { nodes: { index: 0 } }, 'nodes.of: expected an integer of at least 1, found undefined'],
    ['nodes.of', { nodes: { index: 0, of: 0 } }, 'found 0'],
    ['nodes.of', { nodes: { index: 0, of: '3' } }, 'found "3"'],
    ['nodes.index', { nodes: { of: 3 } }, 'nodes.index: expected an integer of at least 0, found undefined'],
    ['nodes.index', { nodes: { index: -1, of: 3 } }, 'found -1'],
    ['nodes.index', { nodes: { index: 0.5, of: 3 } }, 'found 0.5'],
    ['nodes.index', { nodes: { index: 3, of: 3 } }, 'an integer from 0 to 2, since nodes.of is 3, found 3'],
    ['nodes.leaseMs', { nodes: { index: 0, of: 3, leaseMs: 5_000 } }, 'one of the options index, of'],
    ['nodes.leaseMs', { nodes: { leaseMs: 999 } }, 'an integer from 1000 to 600000, found 999'],
    ['nodes.leaseMs', { nodes: { leaseMs: 1_000.5 } }, 'found 1000.5'],
    ['nodes.leaseMs', { nodes: { leaseMs: 600_001 } }, 'found 600001'],
    ['nodes.name', { nodes: { name: '' } }, 'a non-empty string, found ""'],
    ['nodes.capacity', { nodes: { capacity: 0 } }, 'a number above 0, found 0'],
    ['nodes.lease', { nodes: { lease: 5_000 } }, 'one of the options leaseMs, name, capacity'],
    ['source', { source: undefined }, 'an EventSource, found undefined'],
    ['source', { source: {} }, 'an EventSource, found an object'],
    ['checkpoints', { checkpoints: undefined }, 'a CheckpointStore, found undefined'],
  ])('%s %j', (option, given, message) => {
    expect(daemonWith(given)).toThrow(InvalidOptionError)
    expect(daemonWith(given)).toThrow(message)
    expect(daemonWith(given)).toThrow(expect.objectContaining({ option, code: 'TIDEMARK_INVALID_OPTION' }))
  })
})

test('event types are refused where the source would not heed them: the handler would get everything', () => {
  const blind = altered(source, { filtersByType: false })
  const projections = [{ ...good, eventTypes: ['opened'] }]
  expect(daemonWith({ source: blind, projections })).toThrow('projections[0].eventTypes')
  expect(daemonWith({ source: blind })).not.toThrow()
})

test('a type of placeholders is refused as an event type: none would ever come', () => {
  const filling = altered(source, { placeholderTypes: ['tombstone'] })
  const projections = [{ ...good, eventTypes: ['opened', 'tombstone'] }]
  expect(daemonWith({ source: filling, projections })).toThrow(
    /projections\[0\]\.eventTypes: expected .*placeholderTypes.*found "tombstone"/,
  )
  expect(daemonWith({ projections })).not.toThrow()
})

test('an option given as undefined has its default', () => {
  const projections = [
    {
      ...good,
      batchSize: undefined,
      attempts: undefined,
      longestPauseMs: undefined,
      handlerTimeoutMs: undefined,
      eventTypes: undefined,
    },
  ]
  const options = { projections, drainTimeoutMs: undefined, pollIntervalMs: undefined, clock: undefined }
  expect(daemonWith(options)).not.toThrow()
})

test('a name may have 255 characters and no more', () => {
  const named = (length: number) => daemonWith({ projections: [{ ...good, name: 'b'.repeat(length) }] })
  expect(named(255)).not.toThrow()
  expect(named(256)).toThrow(expect.objectContaining({ option: 'projections[0].name' }))
  expect(named(256)).toThrow('at most 255 characters')
})

describe('an option that does not exist is refused by its name, with those that do:', () => {
  const unsaid = 'postgres://me:secret@host/db'
  test.each<[string, () => unknown, string]>([
    ['pollIntervalMS', daemonWith({ pollIntervalMS: unsaid }), 'drainTimeoutMs'],
    ['toString', daemonWith({ toString: unsaid }), 'projections'],
    ['projections[0].batchsize', daemonWith({ projections: [{ ...good, batchsize: unsaid }] }), 'batchSize'],
    [
      'drainTimeoutMs',
      () => createHighWaterAgent({ source, drainTimeoutMs: unsaid } as never),
      'staleAfterMs',
    ],
    ['stallAfter', () => monitorSubscription({ stallAfter: unsaid } as never), 'stallAfterMs'],
    ['registery', () => promClientMetrics({ registery: unsaid } as never), 'registry'],
    ['provider', () => openTelemetryMetrics({ provider: unsaid } as never), 'meterProvider'],
  ])('%s', (option, make, suggested) => {
    expect(make).toThrow(expect.objectContaining({ option, code: 'TIDEMARK_INVALID_OPTION' }))
    expect(make).toThrow(`${option}: expected one of the options `)
    expect(make).toThrow(suggested)
    expect(make).not.toThrow('secret')
  })

  test('also of a wait', async () => {
    const wait = daemonWith({})().waitUntilProjected({ timeout: 5 } as never)
    await expect(wait).rejects.toThrow(
      'timeout: expected one of the options upTo, projections, signal, timeoutMs',
    )
  })
})

describe('what was forgotten is named:', () => {
  test.each<[string, () => unknown]>([
    ['options: expected an object, found undefined', () => createDaemon(undefined as never)],
    ['options: expected an object, found undefined', () => monitorSubscription(undefined as never)],
    ['options: expected an object, found null', () => createHighWaterAgent(null as never)],
    [
      'subscription: expected a stream or another async iterable, found undefined',
      () => monitorSubscription(monitoring).wrap(undefined as never),
    ],
    [
      'handler: expected a function, found undefined',
      () => monitorSubscription(monitoring).handler(undefined as never),
    ],
  ])('%s', (message, make) => {
    expect(make).toThrow(InvalidOptionError)
    expect(make).toThrow(message)
  })
})

test('a position of another type is shown as what it is: 1 is a number, 1n a position', () => {
  const from = (value: unknown) => () => monitorSubscription({ ...monitoring, from: value as never })
  expect(from(1)).toThrow(/^from: expected a position .* found 1$/)
  expect(from('1')).toThrow(/^from: expected a position .* found "1"$/)
  expect(() => monitorSubscription({ ...monitoring, projection: 1n as never })).toThrow('found 1n')
})

test('polls may be apart by nothing and by pollIntervalMs, and are by default where that is shorter', () => {
  expect(daemonWith({ pollDelayMs: 0 })).not.toThrow()
  expect(daemonWith({ pollDelayMs: 20, pollIntervalMs: 20 })).not.toThrow()
  expect(daemonWith({ pollIntervalMs: 0.5 })).not.toThrow()
  expect(resolveHighWaterAgentOptions({ source, pollIntervalMs: 20 }).pollDelayMs).toBe(20)
  expect(resolveHighWaterAgentOptions({ source }).pollDelayMs).toBe(25)
})

test('an agent alone validates the same options', () => {
  expect(() => createHighWaterAgent({ source, pollTimeShare: 2 })).toThrow('pollTimeShare')
  expect(() => createHighWaterAgent({ source: undefined as never })).toThrow('source')
})

test('waiting for a projection that the daemon does not have is refused by its name', async () => {
  await expect(daemonWith({})().waitUntilProjected({ projections: ['balance'] })).rejects.toThrow('"balance"')
})

test('a timeout that is no number above 0 is refused', async () => {
  await expect(daemonWith({})().waitUntilProjected({ timeoutMs: 0 })).rejects.toThrow('timeoutMs')
})
