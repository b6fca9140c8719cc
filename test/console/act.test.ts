import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { Pool } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { LettersAnswer, LiveMessage } from '../../packages/console/src/protocol.ts'
import { append, quiet, type Shop, shopOfTest } from '../cli/rig.ts'
import { consoleOf, errorOf, type TestConsole, until } from './rig.ts'

const ON_ORDERS = { projection: 'orders', why: 'the mail server is down' }

/** A projection `orders` that has handled five events, and no daemon any more. */
async function stopped(): Promise<Shop> {
  const shop = await shopOfTest()
  await append(shop, 5)
  const daemon = await shop.daemon([quiet('orders')])
  await daemon.waitUntilProjected()
  await daemon.stop()
  return shop
}

const acting = (shop: Shop): Promise<TestConsole> => consoleOf(shop, { actions: true })

const rowsOf = async ({ pool }: Shop) =>
  (await pool.query('select * from tidemark.checkpoints order by projection, version, slot_from')).rows

describe('what is done to a projection', () => {
  test('is said before, changes nothing then, is done once asked for, and is in the audit with who and why', async () => {
    const shop = await stopped()
    const { act, dry } = await acting(shop)
    const step = async (
      name: Parameters<TestConsole['act']>[0],
      more: Readonly<Record<string, unknown>>,
      would: string,
      outcome: string,
    ): Promise<void> => {
      const body = { ...ON_ORDERS, ...more } as never
      const before = await rowsOf(shop)
      const told = await dry(name, body)
      expect(told).toMatchObject({ isNothing: false, count: null, filter: null })
      expect(told.would.join(' ')).toContain(would)
      expect(await rowsOf(shop)).toEqual(before)
      const job = await act(name, body)
      expect(job).toMatchObject({ action: name, state: 'done', who: 'ann', why: ON_ORDERS.why })
      expect(job.outcome).toContain(outcome)
      expect(await rowsOf(shop)).not.toEqual(before)
      const [entry] = await shop.operations.audit({ limit: 1 })
      expect({ who: entry?.who, why: entry?.why }).toEqual({ who: 'ann', why: ON_ORDERS.why })
    }
    await step('pause', {}, 'It would be paused', 'orders is paused, at 5')
    await step('moveTo', { position: '2' }, 'would move to 2', 'orders was moved from 5 to 2')
    await step(
      'moveTo',
      { position: null },
      'before the first event',
      'orders was moved from 2 to its beginning',
    )
    await step('resume', {}, 'It would go on', 'orders is resumed')
    await step('reshard', { shards: 2 }, '2 shards', 'is cut anew')
    await step('split', { slots: { from: 0, to: 511 } }, 'would', 'is cut anew')
    await step('merge', { slots: { from: 0, to: 511 } }, 'would', 'is cut anew')
    await step('reshard', { shards: 1 }, 'would', 'is one shard now')
    await step('pause', {}, 'It would be paused', 'is paused')
    await step('forget', {}, 'would be deleted', 'is forgotten')
    expect(await shop.operations.list()).toEqual([])
  })

  test('asked for twice is done once, and the page is told that it was so', async () => {
    const shop = await stopped()
    const { act, dry } = await acting(shop)
    expect((await act('pause', ON_ORDERS)).outcome).toContain('orders is paused, at 5.')
    expect((await act('pause', ON_ORDERS)).outcome).toContain('it was so already')
    expect(await dry('pause', { projection: 'orders' })).toMatchObject({ isNothing: true })
    expect(await shop.operations.audit()).toHaveLength(1)
  })

  test('by two operators at once is done once', async () => {
    const shop = await stopped()
    const consoles = await Promise.all(
      ['ann', 'bob'].map((who) => consoleOf(shop, { actions: true, authorize: () => ({ who }) })),
    )
    const outcomes = await Promise.all(consoles.map(({ act }) => act('pause', ON_ORDERS)))
    expect(outcomes.map(({ outcome }) => outcome?.includes('it was so already')).toSorted()).toEqual([
      false,
      true,
    ])
    expect(await shop.operations.audit()).toHaveLength(1)
  })

  test('that does not fit is refused with the words of the operation, and is no job', async () => {
    const shop = await stopped()
    const { post, get } = await acting(shop)
    const refused = [
      ['pause', { ...ON_ORDERS, projection: 'none' }, 409, 'TIDEMARK_OPERATION_REFUSED'],
      ['moveTo', { ...ON_ORDERS, position: '2' }, 409, 'TIDEMARK_OPERATION_REFUSED'],
      ['moveTo', { ...ON_ORDERS, projection: 'none', position: '2' }, 400, 'TIDEMARK_INVALID_OPTION'],
      ['forget', ON_ORDERS, 409, 'TIDEMARK_OPERATION_REFUSED'],
      ['retire', ON_ORDERS, 409, 'TIDEMARK_OPERATION_REFUSED'],
      ['switchTo', { ...ON_ORDERS, version: 2 }, 409, 'TIDEMARK_OPERATION_REFUSED'],
      ['drainNode', { node: 'none', why: 'a test' }, 404, 'TIDEMARK_NODE_UNKNOWN'],
    ] as const
    for (const [name, body, status, code] of refused) {
      const answer = await post(name, body)
      expect([name, answer.status, errorOf(answer.text).code]).toEqual([name, status, code])
    }
    expect((await get<LiveMessage>('/api/overview')).jobs).toEqual([])
    expect(await shop.operations.audit()).toEqual([])
  })

  test('what only a daemon can do is done by it; without one it goes on as a job, until it is withdrawn', async () => {
    const shop = await stopped()
    const { post, act, get } = await acting(shop)
    const asked = await post('rebuild', ON_ORDERS)
    expect(asked.status).toBe(202)
    expect(JSON.parse(asked.text)).toMatchObject({
      job: { state: 'running', what: 'rebuild orders', outcome: null },
    })
    const { overview, jobs } = await get<LiveMessage>('/api/overview')
    expect(overview?.projections).toMatchObject([
      { asked: { operation: 'rebuild', who: 'ann', why: ON_ORDERS.why } },
    ])
    expect(jobs).toMatchObject([{ action: 'rebuild', state: 'running' }])
    expect((await act('cancel', ON_ORDERS)).outcome).toContain('is asked for nothing any more')
    await until(async () => {
      const message = await get<LiveMessage>('/api/overview')
      expect(message.jobs.find(({ action }) => action === 'rebuild')).toMatchObject({ state: 'failed' })
    })
  })
})

test('a skip, a rebuild, a switch and a retirement are done by the node that runs it', async () => {
  const shop = await shopOfTest()
  await append(shop, 3)
  await append(shop, 1, 'OrderCancelled')
  let resets = 0
  const reset = async (): Promise<void> => {
    resets++
  }
  const failing = {
    name: 'orders',
    attempts: 1,
    handle: async (events: readonly Readonly<Record<string, unknown>>[]) => {
      if (events.some(({ type }) => type === 'OrderCancelled')) throw new TypeError('no amount')
    },
  }
  // The version that is there first is the live one.
  const before = await shop.daemon([failing])
  await until(() => expect(before.status().projections[0]?.position).toBe(3n))
  await before.stop()
  const daemon = await shop.daemon([
    failing,
    { ...quiet('orders'), version: 2 },
    { ...quiet('mails'), reset },
  ])
  await until(() => expect(daemon.status().projections[0]?.failure?.batch?.firstPosition).toBe('4'))
  const { act, get } = await acting(shop)
  const skip = await act('skipNext', { ...ON_ORDERS, version: 1, position: '4' })
  expect(skip.what).toBe('skip the event of orders, version 1 at 4')
  const rebuild = await act('rebuild', { projection: 'mails', why: 'a column was added' })
  const change = await act('switchTo', { ...ON_ORDERS, version: 2 })
  await until(async () => {
    const { jobs } = await get<LiveMessage>('/api/overview')
    const states = [skip, rebuild, change].map(({ id }) => jobs.find((job) => job.id === id)?.state)
    expect(states).toEqual(['done', 'done', 'done'])
  })
  expect((await act('retire', { ...ON_ORDERS, version: 1 })).outcome).toContain('is retired')
  expect(resets).toBe(1)
  expect(
    (await shop.operations.list()).map(({ unit, role }) => [unit.projection, unit.version, role]),
  ).toEqual([
    ['mails', 1, 'live'],
    ['orders', 1, 'retired'],
    ['orders', 2, 'live'],
  ])
})

test('a node is drained, cordoned and opened', async () => {
  const shop = await shopOfTest()
  await append(shop, 1)
  await shop.daemon([quiet('orders')], { name: 'berlin-1' })
  await until(async () => expect((await shop.operations.nodes.list())[0]?.units.length).toBe(1))
  const { act, dry } = await acting(shop)
  const on = { node: 'berlin-1', why: 'a new disk' }
  expect((await dry('drainNode', on)).would).toEqual([
    'berlin-1 would give back what it has (orders), each after the batch at hand, and be given no more. Others go on.',
  ])
  for (const [name, desired] of [
    ['cordonNode', 'cordoned'],
    ['drainNode', 'draining'],
    ['openNode', 'open'],
  ] as const) {
    expect((await act(name, on)).outcome).toContain('1 run of it')
    expect((await act(name, on)).outcome).toContain('it was so already')
    expect(await shop.operations.nodes.list()).toMatchObject([{ desired }])
  }
  expect((await dry('openNode', on)).isNothing).toBe(true)
  expect(await shop.operations.nodes.audit()).toHaveLength(3)
})

describe('dead letters', () => {
  /** Letters 1 to 4 of `orders`, of two types; a daemon that handles them by now, if it is to run. */
  async function withLetters(isMended: boolean): Promise<Shop> {
    const shop = await shopOfTest()
    for (const type of ['OrderPaid', 'OrderPaid', 'OrderCancelled', 'OrderPaid']) await append(shop, 1, type)
    const handle = async (events: readonly Readonly<Record<string, unknown>>[]): Promise<void> => {
      throw new TypeError(`no amount in ${String(events[0]?.type)}`)
    }
    const daemon = await shop.daemon([{ name: 'orders', attempts: 1, onFailure: 'skip', handle }])
    await daemon.waitUntilProjected()
    await daemon.stop()
    if (isMended) await shop.daemon([quiet('orders')])
    return shop
  }

  const open = async ({ get }: TestConsole): Promise<readonly string[]> =>
    (await get<LettersAnswer>('/api/dead-letters')).letters.map(({ id }) => id)

  test('are closed by their ids, each once', async () => {
    const console = await acting(await withLetters(false))
    const { act, dry } = console
    expect(await dry('resolveLetters', { ids: ['1', '2'] })).toMatchObject({ count: 2, filter: null })
    expect((await act('resolveLetters', { ids: ['1', '2'], why: 'mailed by hand' })).outcome).toBe(
      '2 dead letters resolved.',
    )
    expect((await act('discardLetters', { ids: ['2', '3'], why: 'a test order' })).outcome).toBe(
      '1 dead letter discarded. 1 dead letter not open any more, and left as it was.',
    )
    expect(await open(console)).toEqual(['4'])
    const { letters } = await console.get<LettersAnswer>('/api/dead-letters?state=any&limit=2')
    expect(letters).toMatchObject([
      { state: 'resolved', closed: { who: 'ann', why: 'mailed by hand' } },
      { state: 'resolved' },
    ])
  })

  test('in bulk are those that were shown, and none where the count does not match any more', async () => {
    const shop = await withLetters(false)
    const console = await acting(shop)
    const filter = { projection: 'orders', type: 'OrderPaid' }
    const told = await console.dry('discardLetters', { filter, count: 3 })
    expect(told).toMatchObject({ count: 3, filter: 'open dead letters of orders with an event OrderPaid' })
    for (const [body, status, code] of [
      [{ filter, count: 2, why: 'a test' }, 409, 'COUNT_CHANGED'],
      [{ filter, count: 4, why: 'a test' }, 409, 'COUNT_CHANGED'],
      [{ filter, why: 'a test' }, 400, 'COUNT_MISSING'],
      [{ filter: {}, count: 4, why: 'a test' }, 400, 'EMPTY_FILTER'],
      [{ filter: { type: 'OrderPaid' }, count: 3, why: 'a test' }, 400, 'EMPTY_FILTER'],
      [{ why: 'a test' }, 400, 'EMPTY_FILTER'],
      [{ ids: [], why: 'a test' }, 400, 'BAD_BODY'],
      [{ ids: ['1'], filter, count: 3, why: 'a test' }, 400, 'EMPTY_FILTER'],
      [{ filter: { ...filter, projectoin: 'x' }, count: 3, why: 'a test' }, 400, 'BAD_BODY'],
    ] as const) {
      const { status: found, text } = await console.post('discardLetters', body)
      expect([found, errorOf(text).code]).toEqual([status, code])
    }
    expect(await open(console)).toHaveLength(4)
    const job = await console.act('discardLetters', { filter, count: 3, why: 'test orders' })
    expect(job).toMatchObject({ state: 'done', done: 3, of: 3, outcome: '3 dead letters discarded.' })
    expect(await open(console)).toEqual(['3'])
  })

  test('of one error alone can be meant', async () => {
    const console = await acting(await withLetters(false))
    const filter = { projection: 'orders', error: 'TypeError: no amount in OrderCancelled' }
    const job = await console.act('resolveLetters', { filter, count: 1, why: 'mended' })
    expect(job.what).toBe(
      'resolve the open dead letters of orders that have failed with "TypeError: no amount in OrderCancelled"',
    )
    expect(await open(console)).toEqual(['1', '2', '4'])
  })

  test('are retried by a daemon, and progress is told to whoever looks', async () => {
    const console = await acting(await withLetters(true))
    const filter = { projection: 'orders' }
    const { id } = await console.act('retryLetters', { filter, count: 4, why: 'the handler is mended' })
    await until(async () => {
      const { jobs } = await console.get<LiveMessage>('/api/overview')
      expect(jobs.find((job) => job.id === id)).toMatchObject({
        state: 'done',
        outcome: '4 dead letters handled.',
      })
    })
    expect(await open(console)).toEqual([])
  })

  test('whose retry was asked for stay asked for when the console ends, and a daemon handles them', async () => {
    const shop = await withLetters(false)
    const console = await acting(shop)
    const answer = await console.post('retryLetters', { ids: ['1'], why: 'the handler is mended' })
    expect(answer.status).toBe(202)
    await console.handler.close()
    expect(await shop.operations.deadLetters.show('1')).toMatchObject({ retryAsked: { who: 'ann' } })
    await shop.daemon([quiet('orders')])
    await until(async () =>
      expect((await shop.operations.deadLetters.show('1'))?.closed).toMatchObject({ as: 'retried' }),
    )
  })
})

test('late events are discarded, or handled by a daemon, for the projections that are named', async () => {
  const shop = await shopOfTest()
  await append(shop, 5)
  const daemon = await shop.daemon([quiet('orders'), quiet('stock')])
  await daemon.waitUntilProjected()
  await daemon.stop()
  await shop.pool.query(`insert into tidemark.late_events (source, position, type, passed_as) values ('events', 4, 'OrderPaid', 'without_proof');
    insert into tidemark.late_event_units (projection, version, slot_from, slot_to, source, position)
    values ('orders', 1, 0, 1023, 'events', 4), ('stock', 1, 0, 1023, 'events', 4)`)
  const { act, dry, get } = await acting(shop)
  const range = { source: 'events', from: '1', to: '9' }
  expect(await dry('discardLate', range)).toMatchObject({ count: 1, isNothing: false })
  const discarded = await act('discardLate', { ...range, projections: ['orders'], why: 'not wanted' })
  expect(discarded.outcome).toBe('1 late event discarded.')
  expect(await dry('discardLate', { ...range, projections: ['orders'] })).toMatchObject({
    count: 0,
    isNothing: true,
  })
  await shop.daemon([quiet('orders'), quiet('stock')])
  const { id } = await act('reprocessLate', { ...range, why: 'it is wanted' })
  await until(async () => {
    const { jobs, overview } = await get<LiveMessage>('/api/overview')
    expect(jobs.find((job) => job.id === id)?.outcome).toBe('1 late event handled.')
    expect(overview?.lateEvents).toBe(0)
  })
})

test('a console that only reads, and a viewer who may only read, change nothing', async () => {
  const shop = await stopped()
  const reading = await consoleOf(shop)
  const viewer = await consoleOf(shop, { actions: true, authorize: () => ({ who: 'bob', actions: false }) })
  for (const { post } of [reading, viewer]) {
    for (const path of ['pause', 'pause?dry=1']) {
      const { status, text } = await post(path, ON_ORDERS)
      expect([status, errorOf(text).code]).toEqual([403, 'READ_ONLY'])
    }
  }
  expect(await shop.operations.audit()).toEqual([])
})

test('what is asked for while the database is away is refused, and not done later', async () => {
  const shop = await stopped()
  const { post } = await acting(shop)
  const away = new Pool({ host: '127.0.0.1', port: 1 })
  onTestFinished(() => away.end())
  const lost = await consoleOf(shop, {
    actions: true,
    pool: away,
    checkpoints: postgresCheckpoints({ pool: away }),
  })
  const { status, text } = await lost.post('pause', ON_ORDERS)
  expect([status, errorOf(text).code]).toEqual([503, 'ECONNREFUSED'])
  expect((await post('pause', ON_ORDERS)).status).toBe(200)
})
