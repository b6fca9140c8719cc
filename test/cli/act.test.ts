import { describe, expect, test } from 'vitest'
import { eventually } from '../support/event-table.ts'
import { append, quiet, type Shop, shopOfTest } from './rig.ts'

const WHY = ['--why', 'the mail server is down']

/** A projection `orders` that has handled five events, and no daemon any more. */
async function stopped(): Promise<Shop> {
  const shop = await shopOfTest()
  await append(shop, 5)
  const daemon = await shop.daemon([quiet('orders')])
  await daemon.waitUntilProjected()
  await daemon.stop()
  return shop
}

/** Several runs as one text. */
const all = async (shop: Shop, runs: readonly (readonly string[])[]): Promise<string> => {
  const said: string[] = []
  for (const args of runs) said.push(await shop.said(args))
  return said.join('\n')
}

const rowsOf = async ({ pool }: Shop) =>
  (await pool.query('select * from tidemark.checkpoints order by projection, version, slot_from')).rows

describe('what changes something', () => {
  test('says with --dry-run what would happen, changes nothing, does it with --yes, and once', async () => {
    const shop = await stopped()
    const steps = [
      ['pause', 'orders'],
      ['move', 'orders', '2'],
      ['move', 'orders', 'start'],
      ['resume', 'orders'],
      ['reshard', 'orders', '2'],
      ['pause', 'orders'],
      ['forget', 'orders'],
    ]
    const said: string[] = []
    for (const step of steps) {
      const before = await rowsOf(shop)
      said.push(await shop.said(['projections', ...step, '--dry-run']))
      expect(await rowsOf(shop)).toEqual(before)
      said.push(await shop.said(['projections', ...step, ...WHY, '--yes']))
      expect(await rowsOf(shop)).not.toEqual(before)
    }
    said.push(await shop.said(['audit']))
    await expect(said.join('\n')).toMatchFileSnapshot('golden/act/operations.txt')
  })

  test('is told as JSON too', async () => {
    const shop = await stopped()
    const pause = ['projections', 'pause', 'orders', '--json']
    const said = await all(shop, [
      [...pause, '--dry-run'],
      [...pause, ...WHY, '--yes'],
      [...pause, ...WHY, '--yes'],
    ])
    await expect(said).toMatchFileSnapshot('golden/act/operations.json.txt')
  })

  test('asks a person, who is told what would happen, and takes a yes alone for one', async () => {
    const shop = await stopped()
    const pause = ['projections', 'pause', 'orders', ...WHY, '--no-color']
    const no = await shop.tidemark(pause, { columns: 200, answer: '' })
    expect(no).toMatchObject({ exit: 0, out: '' })
    expect(no.err).toContain('It would be paused')
    expect(no.err).toContain('Do it? [y/N] ')
    expect(no.err).toContain('Nothing was changed.')
    const yes = await shop.tidemark(pause, { columns: 200, answer: 'y' })
    expect(yes.out).toContain('orders is paused, at 5.')
    expect(await shop.operations.list()).toMatchObject([{ desired: 'paused', decision: { who: 'ann' } }])
  })

  test('is done in the name of whoever is named', async () => {
    const shop = await stopped()
    await shop.tidemark(['projections', 'pause', 'orders', ...WHY, '--yes'], {
      env: { TIDEMARK_WHO: 'carla' },
    })
    await shop.tidemark(['projections', 'resume', 'orders', ...WHY, '--yes', '--who', 'berta'])
    expect((await shop.operations.audit()).map(({ who }) => who)).toEqual(['berta', 'carla'])
  })

  test('is not done without a reason, without a yes where nobody is there, or where it does not fit', async () => {
    const shop = await stopped()
    const before = await rowsOf(shop)
    const said = await all(shop, [
      ['projections', 'pause', 'orders', '--yes'],
      ['projections', 'pause', 'orders', ...WHY],
      ['projections', 'pause', 'none', ...WHY, '--yes'],
      ['projections', 'move', 'orders', '2', ...WHY, '--yes'],
      ['projections', 'move', 'none', '2', ...WHY, '--dry-run'],
      ['projections', 'forget', 'orders', '--dry-run'],
      ['projections', 'retire', 'orders', ...WHY, '--yes'],
      ['projections', 'switch', 'orders', '2', ...WHY, '--yes'],
      ['projections', 'rebuild', 'orders', ...WHY, '--yes', '--timeout', '100ms'],
      ['projections', 'cancel', 'orders', ...WHY, '--yes'],
    ])
    await expect(said).toMatchFileSnapshot('golden/act/refused.txt')
    const [row] = await rowsOf(shop)
    expect({ ...row, asked: null, answered: null, updated_at: null }).toEqual({
      ...before[0],
      asked: null,
      answered: null,
      updated_at: null,
    })
  })
})

test('one shard is split, and shards are merged; whoever does not say which is told which there are', async () => {
  const shop = await stopped()
  const split = ['projections', 'split', 'orders']
  const said = await all(shop, [
    [...split, '--dry-run'],
    [...split, '--slots', '0-1023', '--dry-run'],
    [...split, '--slots', '0-1023', ...WHY, '--yes'],
    [...split, '--slots', '0-511', ...WHY, '--yes', '--json'],
    [...split, '--dry-run'],
    [...split, '--slots', '512-767', ...WHY, '--yes'],
    ['projections', 'merge', 'orders', '--slots', '0-511', '--dry-run'],
    ['projections', 'merge', 'orders', '--slots', '0-511', ...WHY, '--yes'],
    ['projections', 'merge', 'orders', '--slots', '0-511', ...WHY, '--yes'],
    ['projections', 'merge', 'orders', '--slots', '1-511', ...WHY, '--yes'],
    ['projections', 'merge', 'none', '--dry-run'],
  ])
  await expect(said).toMatchFileSnapshot('golden/act/shards.txt')
  expect((await rowsOf(shop)).map(({ slot_from, slot_to }) => [slot_from, slot_to])).toEqual([
    [0, 511],
    [512, 1023],
  ])
})

test('a rebuild, a skip and a switch are done by the node that runs it', async () => {
  const shop = await shopOfTest()
  await append(shop, 3)
  await append(shop, 1, 'OrderCancelled')
  let resets = 0
  const reset = async (): Promise<void> => {
    resets++
  }
  const failing = {
    name: 'orders',
    reset,
    attempts: 1,
    handle: async (events: readonly Readonly<Record<string, unknown>>[]) => {
      if (events.some(({ type }) => type === 'OrderCancelled')) throw new TypeError('no amount')
    },
  }
  // The version that is there first is the live one.
  const before = await shop.daemon([failing])
  await eventually(() => before.status().projections[0]?.position).toBe(3n)
  await before.stop()
  const daemon = await shop.daemon([
    failing,
    { ...quiet('orders'), version: 2 },
    { ...quiet('mails'), reset },
  ])
  await eventually(() => daemon.status().projections[0]?.failure?.batch?.firstPosition).toBe('4')
  const said = await all(shop, [
    ['projections', 'skip', 'orders', '4', '--version', '1', '--dry-run'],
    ['projections', 'skip', 'orders', '4', '--version', '1', ...WHY, '--yes'],
    ['projections', 'skip', 'orders', '4', '--version', '1', ...WHY, '--yes'],
    ['projections', 'rebuild', 'mails', '--dry-run'],
    ['projections', 'rebuild', 'mails', ...WHY, '--yes'],
    ['projections', 'switch', 'orders', '2', '--dry-run'],
    ['projections', 'switch', 'orders', '2', ...WHY, '--yes'],
    ['projections', 'retire', 'orders', '--version', '1', ...WHY, '--yes'],
  ])
  await expect(said).toMatchFileSnapshot('golden/act/by-nodes.txt')
  expect(resets).toBe(1)
  expect(
    (await shop.operations.list()).map(({ unit, role }) => [unit.projection, unit.version, role]),
  ).toEqual([
    ['mails', 1, 'live'],
    ['orders', 1, 'retired'],
    ['orders', 2, 'live'],
  ])
})

test('a skip is refused where it does not fail: where it has passed, elsewhere, at an unknown one, and where it is paused', async () => {
  const shop = await shopOfTest()
  await append(shop, 3)
  await append(shop, 1, 'OrderCancelled')
  await append(shop, 1)
  const daemon = await shop.daemon([
    {
      name: 'orders',
      attempts: 1,
      handle: async (events) => {
        if (events.some(({ type }) => type === 'OrderCancelled')) throw new TypeError('no amount')
      },
    },
  ])
  await eventually(() => daemon.status().projections[0]?.failure?.batch?.firstPosition).toBe('4')
  const skip = ['projections', 'skip', 'orders']
  const said = [
    await all(shop, [
      [...skip, '3', ...WHY, '--yes'],
      [...skip, '5', ...WHY, '--yes'],
      [...skip, '5', ...WHY, '--yes', '--json'],
      ['projections', 'skip', 'stock', '4', ...WHY, '--yes'],
    ]),
  ]
  await shop.operations.pause({ projection: 'orders', who: 'berta', why: 'a deploy' })
  said.push(await all(shop, [[...skip, '4', ...WHY, '--yes'], ['audit']]))
  await expect(said.join('\n')).toMatchFileSnapshot('golden/act/skip-refused.txt')
  expect(await shop.operations.list()).toMatchObject([{ position: '3' }])
})

describe('dead letters', () => {
  /** Letters 1 to 4 of `orders`, of two types; a daemon that handles them by now, if it is to run. */
  async function withLetters(isMended: boolean): Promise<Shop> {
    const shop = await shopOfTest()
    for (const type of ['OrderPaid', 'OrderPaid', 'OrderCancelled', 'OrderPaid']) await append(shop, 1, type)
    const projection = {
      name: 'orders',
      attempts: 1,
      onFailure: 'skip',
      handle: async () => {
        throw new TypeError('no amount')
      },
    } as const
    const daemon = await shop.daemon([projection])
    await daemon.waitUntilProjected()
    await daemon.stop()
    if (isMended) await shop.daemon([quiet('orders')])
    return shop
  }

  test('are resolved and discarded by their numbers, each once', async () => {
    const shop = await withLetters(false)
    const said = await all(shop, [
      ['dead-letters', 'list'],
      ['dead-letters', 'resolve', '1', '2', '--dry-run'],
      ['dead-letters', 'resolve', '1', '2', ...WHY, '--yes'],
      ['dead-letters', 'discard', '2', '3', ...WHY, '--yes'],
      ['dead-letters', 'list', '--state', 'any', '--type', 'OrderCancelled'],
      ['dead-letters', 'list', '--limit', '1'],
      ['dead-letters', 'show', '1'],
    ])
    await expect(said).toMatchFileSnapshot('golden/act/dead-letters-closed.txt')
  })

  test('in bulk only those that were looked at: the filter in words, and a count that still has to match', async () => {
    const shop = await withLetters(false)
    const bulk = ['dead-letters', 'discard', '--projection', 'orders', '--type', 'OrderPaid']
    const said = await all(shop, [
      ['dead-letters', 'discard', ...WHY, '--yes'],
      ['dead-letters', 'discard', '--type', 'OrderPaid', ...WHY, '--yes'],
      ['dead-letters', 'discard', '1', '--projection', 'orders', ...WHY, '--yes'],
      ['dead-letters', 'discard', '99', ...WHY, '--yes'],
      [...bulk, '--dry-run'],
      [...bulk, ...WHY, '--yes'],
      [...bulk, ...WHY, '--yes', '--count', '2'],
      [...bulk, ...WHY, '--yes', '--count', '3'],
      ['dead-letters', 'list'],
    ])
    await expect(said).toMatchFileSnapshot('golden/act/dead-letters-bulk.txt')
  })

  test('are retried by a daemon, and what fails again is told', async () => {
    const shop = await withLetters(true)
    const said = await all(shop, [
      ['dead-letters', 'retry', '1', ...WHY, '--yes'],
      ['dead-letters', 'retry', '--projection', 'orders', ...WHY, '--yes', '--count', '3', '--json'],
      ['dead-letters', 'retry', '1', ...WHY, '--yes'],
    ])
    await expect(said).toMatchFileSnapshot('golden/act/dead-letters-retried.txt')
  })

  test('that nobody retries in time stay asked for', async () => {
    const shop = await withLetters(false)
    await expect(
      await shop.said(['dead-letters', 'retry', '1', ...WHY, '--yes', '--timeout', '300ms']),
    ).toMatchFileSnapshot('golden/act/dead-letters-waiting.txt')
    expect(await shop.operations.deadLetters.show('1')).toMatchObject({ retryAsked: { who: 'ann' } })
  })
})

test('late events are listed, discarded once with a reason, and nothing more of them', async () => {
  const shop = await stopped()
  await shop.pool.query(`insert into tidemark.late_events (source, position, type, passed_as) values ('events', 4, 'OrderPaid', 'without_proof');
    insert into tidemark.late_event_units (projection, version, slot_from, slot_to, source, position) values ('orders', 1, 0, 1023, 'events', 4);
    insert into tidemark.skips (source, current, stored, count, held_by) values ('events', 5, 3, 1, '[]')`)
  const discard = ['late', 'discard', '--from', '1', '--to', '9', ...WHY]
  const said = await all(shop, [
    ['late'],
    ['skips'],
    ['late', 'reprocess', '--from', '1', '--to', '9', ...WHY, '--yes', '--timeout', '300ms'],
    ['late', 'discard', '--from', '1', ...WHY, '--yes'],
    [...discard, '--dry-run'],
    [...discard, '--yes', '--projection', 'orders'],
    [...discard, '--yes'],
    ['late', '--state', 'any'],
  ])
  await expect(said).toMatchFileSnapshot('golden/act/late.txt')
})

test('nodes that share projections by leases are shown with what they have, and one that is gone', async () => {
  const shop = await shopOfTest()
  const daemon = await shop.daemon([quiet('orders'), quiet('stock')], { name: 'berlin-1' })
  await eventually(async () => (await shop.operations.nodes.list())[0]?.units.length).toBe(2)
  const alive = await shop.said(['nodes'])
  await daemon.stop()
  // As one leaves it that was killed.
  await shop.pool.query(`insert into tidemark.nodes (id, name, source, capacity, units, is_leaving, expires_at)
    values ('gone', 'berlin-0', 'events', 1, '{}', false, now() - interval '1 minute')`)
  await shop.pool.query(`update tidemark.checkpoints set owner = 'gone' where projection = 'stock'`)
  const gone = [await shop.said(['nodes']), await shop.said(['nodes', '--json'])].join('\n')
  await expect(`${alive}\n${gone}`).toMatchFileSnapshot('golden/act/nodes.txt')
})

test('a node is drained, cordoned and opened: what would happen first, each once, and the audit of nodes says why', async () => {
  const shop = await shopOfTest()
  const names = async () =>
    Object.fromEntries((await shop.operations.nodes.list()).map(({ name, units }) => [name, units.length]))
  await shop.daemon([quiet('orders'), quiet('stock')], { name: 'berlin-1' })
  await eventually(names).toEqual({ 'berlin-1': 2 })
  await shop.daemon([quiet('orders'), quiet('stock')], { name: 'berlin-2' })
  await eventually(names).toEqual({ 'berlin-1': 1, 'berlin-2': 1 })
  const desired = async () => (await shop.operations.nodes.list()).map((node) => node.desired)
  const said = [await shop.said(['nodes', 'cordon', 'berlin-2', '--dry-run'])]
  expect(await desired()).toEqual(['open', 'open'])
  said.push(await shop.said(['nodes', 'cordon', 'berlin-2', ...WHY, '--yes']))
  said.push(await shop.said(['nodes', 'drain', 'berlin-1', '--dry-run']))
  said.push(await shop.said(['nodes', 'drain', 'berlin-1', ...WHY, '--yes']))
  expect(await desired()).toEqual(['draining', 'cordoned'])
  await eventually(names).toEqual({ 'berlin-1': 0, 'berlin-2': 1 })
  said.push(await shop.said(['nodes']))
  said.push(await shop.said(['nodes', 'drain', 'berlin-1', ...WHY, '--yes']))
  said.push(await shop.said(['nodes', 'open', 'berlin-1', '--dry-run', '--json']))
  said.push(await shop.said(['nodes', 'open', 'berlin-1', ...WHY, '--yes', '--json']))
  said.push(await shop.said(['nodes', 'open', 'berlin-2', ...WHY, '--yes']))
  said.push(await shop.said(['nodes', 'audit']))
  said.push(await shop.said(['nodes', 'audit', '--node', 'berlin-2', '--limit', '1', '--json']))
  // Which of the two has which is chance.
  await expect(said.join('\n').replaceAll(/\b(orders|stock)\b/g, '<unit>')).toMatchFileSnapshot(
    'golden/act/nodes-operated.txt',
  )
})

test('what is wanted of a node wants a reason, a yes, and a node that is there', async () => {
  const shop = await stopped()
  const said = await all(shop, [
    ['nodes', 'drain', 'berlin-1', '--yes'],
    ['nodes', 'drain', 'berlin-1', ...WHY],
    ['nodes', 'drain', 'berlin-1', ...WHY, '--yes'],
    ['nodes', 'drain', 'berlin-1', '--dry-run'],
    ['nodes', 'audit'],
  ])
  await expect(said).toMatchFileSnapshot('golden/act/nodes-refused.txt')
})
