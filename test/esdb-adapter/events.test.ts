import type { EventSource } from '@tidemark/core'
import { type Page, wholeUnit } from '@tidemark/core/adapter'
import { type EsdbEvent, type EsdbFilter, esdbEvents } from '@tidemark/esdb-adapter'
import { describe, expect, test } from 'vitest'
import { pollOf } from '../support/poll.ts'
import { client as clientModule, clientName } from './client.ts'
import { endOfAll, isOwn } from './own-names.ts'
import { never, numbered, useServer } from './rig.ts'
import { describeSteered, isSimulated, steered } from './server-in-use.ts'

const esdb = useServer()
const own = esdb.own

describe('a stream', () => {
  test('that has no events has no head, and is not an error', async () => {
    expect(await pollOf(orders())).toMatchObject({ head: undefined, settled: undefined, mark: undefined })
  })

  test('its last revision is head, settled and mark: the log of one writer has no gaps', async () => {
    await esdb.server.write(own('orders'), numbered(0, 2))
    await esdb.server.write(own('others'), numbered(0, 9))
    const source = orders()
    const reading = await pollOf(source)
    expect(reading).toMatchObject({ head: 2n, settled: 2n, mark: 2n, gaps: [], holders: [], skipped: [] })
    await esdb.server.write(own('orders'), numbered(3, 3))
    expect(await pollOf(source, reading)).toMatchObject({ head: 3n, settled: 3n, mark: 3n })
  })

  test('is read in pages from the checkpoint, up to the mark and no further', async () => {
    await esdb.server.write(own('orders'), numbered(0, 6))
    const source = orders()
    const { mark } = await pollOf(source)
    await esdb.server.write(own('orders'), numbered(7, 9))
    const pages = await pagesOf(source, mark, { limit: 3 })
    expect(pages.map(numbersIn)).toEqual([[0, 1, 2], [3, 4, 5], [6]])
    expect(pages.map(({ positions }) => positions)).toEqual([[0n, 1n, 2n], [3n, 4n, 5n], [6n]])
    expect(pages.map(({ through }) => through)).toEqual([2n, 5n, 6n])
  })

  test('its events between two revisions can be looked at, under no mark', async () => {
    await esdb.server.write(own('orders'), numbered(0, 6))
    const events = await orders().eventsAt?.({ from: 2n, to: 4n }, 10, never())
    expect(events?.map(({ event }) => event?.revision)).toEqual([2n, 3n, 4n])
  })

  steered("handlers get the client's own events, and pages know when they were appended", async () => {
    const createdMs = Date.UTC(2026, 10, 24, 12, 0, 0, 123)
    await esdb.server.write(own('orders'), [{ type: 'Placed', data: { total: '12.50' }, createdMs }])
    const page = await firstPage(orders())
    expect(page.events[0]?.event).toMatchObject({
      streamId: own('orders'),
      revision: 0n,
      type: 'Placed',
      isJson: true,
      data: { total: '12.50' },
    })
    // The native addon behind the newer client's reads knows whole seconds only.
    const appendedAtMs = clientName === 'kurrentdb' ? createdMs - 123 : createdMs
    expect(page.appendTimesMs).toEqual([appendedAtMs])
  })

  test('can be read for events of some types, and the page still says how far it has looked', async () => {
    await esdb.server.write(own('orders'), [
      ...numbered(0, 1),
      { type: 'Paid', data: { n: 2 } },
      ...numbered(3, 4),
    ])
    const page = await firstPage(orders(), { eventTypes: ['Paid'] })
    expect(numbersIn(page)).toEqual([2])
    expect(page.positions).toEqual([2n])
    expect(page.through).toBe(4n)
  })

  test('is looked through for an event of some type, however few events a page may have', async () => {
    await esdb.server.write(own('orders'), [...numbered(0, 99), { type: 'Paid', data: { n: 100 } }])
    const page = await firstPage(orders(), { eventTypes: ['Paid'], limit: 1 })
    expect(numbersIn(page)).toEqual([100])
    expect(page.through).toBe(100n)
  })

  test('that lost its oldest events is read from the first one that is left', async () => {
    await esdb.server.write(own('orders'), numbered(0, 9))
    await esdb.client.setStreamMetadata(own('orders'), { maxCount: 3 })
    const page = await firstPage(orders())
    expect(page.positions).toEqual([7n, 8n, 9n])
    expect(page.through).toBe(9n)
  })

  steered('that lost events in its middle is read past them', async () => {
    await esdb.server.write(own('orders'), numbered(0, 9))
    await esdb.server.scavenge(own('orders'), 3n, 6n)
    expect((await firstPage(orders())).positions).toEqual([0n, 1n, 2n, 7n, 8n, 9n])
  })

  const EMPTIED = 'that was %s keeps its mark, and goes on with the next event'
  test.each<[string, () => Promise<unknown>]>([
    ['deleted', () => esdb.client.deleteStream(own('orders'))],
    ['truncated', () => esdb.client.setStreamMetadata(own('orders'), { truncateBefore: 5 })],
  ])(EMPTIED, (_, empty) => isEmptied(empty))

  // Only the simulated server takes events of an hour ago.
  steered.each<[string, () => Promise<unknown>]>([
    ['let to expire', () => esdb.client.setStreamMetadata(own('orders'), { maxAge: 60 })],
  ])(EMPTIED, (_, empty) => isEmptied(empty, { createdMs: Date.now() - 3_600_000 }))

  async function isEmptied(empty: () => Promise<unknown>, written = {}): Promise<void> {
    await esdb.server.write(
      own('orders'),
      numbered(0, 4).map((event) => ({ ...event, ...written })),
    )
    const source = orders()
    const before = await pollOf(source)
    await empty()
    const emptied = await pollOf(source, before)
    expect(emptied).toMatchObject({ head: 4n, mark: 4n })
    expect(await load(source, { after: 1n, upTo: 4n })).toMatchObject({ events: [], through: 4n })
    await expect(source.readHead(never())).rejects.toMatchObject({ code: 'TIDEMARK_HEAD_UNKNOWN' })
    const event = clientModule.jsonEvent({ type: 'Numbered', data: { n: 5 } })
    await esdb.client.appendToStream(own('orders'), event)
    expect(await pollOf(source, emptied)).toMatchObject({ mark: 5n })
    expect((await load(source, { after: 4n, upTo: 5n })).positions).toEqual([5n])
  }

  test('where links are resolved hands out what they point to, at the positions of the links', async () => {
    await esdb.server.write(own('orders-1'), numbered(0, 1))
    await esdb.server.write(own('orders-2'), numbered(2, 2))
    await esdb.server.writeLink(own('$ce-orders'), own('orders-2'), 0n)
    await esdb.server.writeLink(own('$ce-orders'), own('orders-1'), 1n)
    await esdb.server.writeLink(own('$ce-orders'), own('orders-9'), 7n)
    const source = esdbEvents({ client: esdb.client, stream: own('$ce-orders'), resolveLinkTos: true })
    const page = await firstPage(source)
    expect(page.positions).toEqual([0n, 1n, 2n])
    expect(page.events.map(({ event }) => event?.data)).toEqual([{ n: 2 }, { n: 1 }, undefined])
    expect(page.events.map((event) => source.describe(event as never))).toMatchObject([
      { position: 0n, hasEvent: true },
      { position: 1n, hasEvent: true },
      { position: 2n, hasEvent: false },
    ])
  })
})

describe('$all', () => {
  test('leaves out what the server and Tidemark write for themselves', async () => {
    const after = await endOfAll(esdb.client)
    await esdb.server.write(own('orders'), numbered(0, 1))
    await esdb.server.writeStatistics()
    await esdb.client.setStreamMetadata(own('orders'), { maxAge: 1_000_000 })
    await esdb.server.write(own('tidemark-checkpoint'), [{ type: 'TidemarkCheckpoint', data: {} }])
    await esdb.server.writeLink(own('$et-TidemarkCheckpoint'), own('tidemark-checkpoint'), 0n)
    await esdb.server.write(own('customers'), numbered(2, 2))
    const page = await firstPage(all(), { after })
    expect(numbersIn(page)).toEqual([0, 1, 2])
  })

  steered('positions are commit and prepare offsets, also where several events share a commit', async () => {
    await esdb.server.write(own('orders'), numbered(0, 2), { transaction: true })
    await esdb.server.write(own('orders'), numbered(3, 3))
    const pages = await pagesOf(all(), (await pollOf(all())).mark, { limit: 1 })
    expect(pages.flatMap(numbersIn)).toEqual([0, 1, 2, 3])
    const positions = pages.flatMap((page) => page.positions)
    expect(new Set(positions.slice(0, 3).map(({ commit }) => commit)).size).toBe(1)
    expect(new Set(positions.map((position) => all().order.format(position))).size).toBe(4)
  })

  steered('has no mark while there is nothing but what the server writes for itself', async () => {
    await esdb.server.writeStatistics()
    const first = await pollOf(all())
    await esdb.server.writeStatistics()
    expect(first.mark).toBeUndefined()
    expect((await pollOf(all(), first)).mark).toBeUndefined()
  })

  steered('is read on from a checkpoint whose record was scavenged, with nothing lost', async () => {
    await esdb.server.write(own('orders'), numbered(0, 5))
    const source = all()
    const { mark } = await pollOf(source)
    const after = (await load(source, { after: undefined, upTo: present(mark), limit: 3 })).through
    await esdb.server.scavenge(own('orders'), 1n, 3n)
    const stored = [{ unit: wholeUnit('mailer'), position: after }]
    const reading = await pollOf(all(), undefined, stored)
    const page = await load(source, { after, upTo: present(reading.mark) })
    expect(numbersIn(page)).toEqual([4, 5])
    expect(reading.skipped).toEqual([])
    const newest = { after: present(mark), upTo: present(mark) }
    await esdb.server.scavenge(own('orders'), 5n, 5n)
    await esdb.server.write(own('orders'), numbered(6, 6))
    const next = await pollOf(all(), undefined, [{ unit: wholeUnit('mailer'), position: newest.after }])
    expect(numbersIn(await load(source, { ...newest, upTo: present(next.mark) }))).toEqual([6])
  })

  steered('is idle while only the server and Tidemark write: the mark stands still', async () => {
    await esdb.server.write(own('orders'), numbered(0, 1))
    const source = all()
    const before = await pollOf(source)
    await esdb.server.writeStatistics()
    await esdb.server.write('tidemark-checkpoint-mailer', [{ type: 'TidemarkCheckpoint', data: {} }])
    await esdb.server.writeLink('$ce-tidemark', 'tidemark-checkpoint-mailer', 0n)
    const after = await pollOf(source, before)
    expect(after).toMatchObject({ head: before.head, settled: before.settled, mark: before.mark })
    await esdb.server.write(own('orders'), numbered(2, 2))
    const { mark } = await pollOf(source, after)
    expect(numbersIn(await load(source, { after: before.mark, upTo: present(mark) }))).toEqual([2])
  })

  test.each<[string, () => EsdbFilter, number[]]>([
    [
      'prefixes of stream names',
      () => ({ filterOn: 'streamName', prefixes: [own('order'), own('customers')] }),
      [0, 2],
    ],
    [
      'a regular expression on stream names',
      () => ({ filterOn: 'streamName', regex: `^${own('order')}$` }),
      [0],
    ],
    ['prefixes of types', () => ({ filterOn: 'eventType', prefixes: ['Pa'] }), [1]],
    ['a regular expression on types', () => ({ filterOn: 'eventType', regex: '^(Placed|Named)$' }), [0, 2]],
  ])('filtered by %s hands out those events, and looks at all of them', async (_, filter, expected) => {
    const after = await endOfAll(esdb.client)
    await esdb.server.write(own('order'), [{ type: 'Placed', data: { n: 0 } }])
    await esdb.server.write(own('payments'), [{ type: 'Paid', data: { n: 1 } }])
    await esdb.server.write(own('customers'), [{ type: 'Named', data: { n: 2 } }])
    await esdb.server.write(own('other'), [{ type: 'Other', data: { n: 3 } }])
    const source = esdbEvents({ client: esdb.client, filter: filter() })
    const upTo = present((await pollOf(source)).mark)
    const page = await load(source, { after, upTo })
    expect(numbersIn(page)).toEqual(expected)
    expect(page.through).toEqual(upTo)
    if (isSimulated) expect(upTo).toEqual((await pollOf(all())).mark)
  })

  steered("a filter that matches the system's own events gets them, but never checkpoints", async () => {
    await esdb.server.writeStatistics()
    await esdb.server.write('tidemark-checkpoint-mailer', [{ type: 'TidemarkCheckpoint', data: {} }])
    const source = esdbEvents({
      client: esdb.client,
      filter: { filterOn: 'eventType', regex: '^(\\$stats|Tidemark)' },
    })
    const before = await pollOf(source)
    const page = await load(source, { after: undefined, upTo: present(before.mark) })
    expect(page.events.map(({ event }) => event?.type)).toEqual(['$statsCollected'])
    await esdb.server.write('tidemark-checkpoint-mailer', [{ type: 'TidemarkCheckpoint', data: {} }])
    expect((await pollOf(source, before)).mark).toEqual(before.mark)
  })
})

describeSteered('reads are read to their end', () => {
  const LARGE = { data: { n: 0, padding: 'x'.repeat(1_000) } }
  /** Some 3 MB: more than a connection holds on its way. */
  const many = (type: string) => Array.from({ length: 3_000 }, () => ({ ...LARGE, type }))

  test('a look back over records of the system leaves no read open', async () => {
    const source = all()
    await esdb.server.write(own('orders'), many('Placed'))
    for (let round = 0; round < 10; round++) {
      await esdb.server.writeStatistics()
      await pollOf(source)
    }
    expect((await esdb.server.counters()).open.read).toBe(0)
  })

  test('a page that ends at the mark leaves no read open', async () => {
    const source = all()
    await esdb.server.write(own('orders'), numbered(0, 9))
    const upTo = present((await pollOf(source)).mark)
    await esdb.server.write(own('orders'), many('Placed'))
    for (let round = 0; round < 10; round++) {
      const page = await firstPage(source, { upTo })
      expect(page.events).toHaveLength(10)
    }
    expect((await esdb.server.counters()).open.read).toBe(0)
  })
})

describeSteered('where a log seems to end before what was there', () => {
  test.each([
    ['a stream', () => orders() as EventSource<unknown, EsdbEvent>],
    ['$all', () => all() as EventSource<unknown, EsdbEvent>],
  ])(
    'a checkpoint beyond the head of %s is refused at the first poll, and the error says so',
    async (_, open) => {
      await esdb.server.write(own('orders'), numbered(0, 9))
      const source = open()
      const stored = [{ unit: wholeUnit('mailer'), position: (await pollOf(source)).mark }]
      await esdb.server.restart({ keepLog: false })
      await esdb.server.write(own('orders'), numbered(0, 1))
      await expect(eventually(() => pollOf(source, undefined, stored))).rejects.toMatchObject({
        code: 'TIDEMARK_STORE_REWOUND',
        message: expect.stringMatching(
          /the checkpoint of "mailer" stands at .*, but .* ends at .*restored backup/,
        ),
      })
    },
  )

  test('a server that was restarted empty under a running process is refused', async () => {
    await esdb.server.write(own('orders'), numbered(0, 9))
    const source = orders()
    const before = await pollOf(source)
    await esdb.server.restart({ keepLog: false })
    await expect(eventually(() => pollOf(source, before))).rejects.toMatchObject({
      code: 'TIDEMARK_STORE_REWOUND',
      message: expect.stringMatching(/stands at 9, but stream "orders-.*" is empty/),
    })
  })

  test('a poll that was cut short is no log that went back', async () => {
    await esdb.server.write(own('orders'), numbered(0, 9))
    const source = orders()
    const before = await pollOf(source)
    await esdb.server.stall({ kind: 'read' })
    const polling = pollOf(source, before)
    await reading()
    await esdb.server.endCalls({ kind: 'read' })
    await esdb.server.resume()
    expect((await polling).mark).toBe(9n)
  })

  test.each(['a checkpoint', 'nothing'])(
    'a look back for the last news that was cut short, from above %s, does not pass for one that found none',
    async (known) => {
      const source = all()
      await esdb.server.write(own('orders'), numbered(0, 0))
      const before = known === 'nothing' ? undefined : await pollOf(source)
      await esdb.server.write(own('orders'), numbered(1, 1))
      for (let i = 0; i < 20; i++) await esdb.server.writeStatistics()
      await esdb.server.stall({ kind: 'read' }, 5)
      const polling = pollOf(source, before)
      await reading()
      await esdb.server.endCalls({ kind: 'read' })
      await esdb.server.resume()
      const cut = await polling
      const { mark } = await pollOf(source, cut)
      const page = await load(source, { after: before?.mark, upTo: present(mark) })
      expect(numbersIn(page)).toEqual(before ? [1] : [0, 1])
    },
  )

  test('a page that was cut short, without an error, does not pass for one that has looked at everything', async () => {
    await esdb.server.write(own('orders'), numbered(0, 99))
    const source = orders()
    for (const after of [0, 1, 40]) {
      await esdb.server.stall({ kind: 'read' }, after)
      const loading = load(source, { after: undefined, upTo: 99n })
      loading.catch(() => {})
      await reading()
      await esdb.server.endCalls({ kind: 'read' })
      await esdb.server.resume()
      const page = await loading.catch((error: unknown) => error)
      if (page instanceof Error) expect(source.isTransient(page)).toBe(true)
      else
        expect((page as Page<bigint, EsdbEvent>).through).toBe(
          (page as Page<bigint, EsdbEvent>).positions.at(-1),
        )
    }
  })
})

function orders() {
  return esdbEvents({ client: esdb.client, stream: own('orders') })
}

function all() {
  return esdbEvents({ client: esdb.client })
}

interface LoadOptions<P> {
  readonly after: P | undefined
  readonly upTo: P
  readonly limit?: number
  readonly eventTypes?: readonly string[]
}

function load<P>(source: EventSource<P, EsdbEvent>, options: LoadOptions<P>): Promise<Page<P, EsdbEvent>> {
  return source.load({
    limit: 1_000,
    eventTypes: undefined,
    evidence: { incarnation: 'log', settled: options.upTo, logPosition: undefined },
    signal: never(),
    ...options,
  })
}

async function firstPage<P>(
  source: EventSource<P, EsdbEvent>,
  options: Partial<LoadOptions<P>> = {},
): Promise<Page<P, EsdbEvent>> {
  return load(source, { after: undefined, upTo: present((await pollOf(source)).mark), ...options })
}

async function pagesOf<P>(
  source: EventSource<P, EsdbEvent>,
  upTo: P | undefined,
  options: { readonly limit: number },
): Promise<Page<P, EsdbEvent>[]> {
  const pages: Page<P, EsdbEvent>[] = []
  let after: P | undefined
  while (after === undefined || source.order.compare(after, present(upTo)) < 0) {
    const page = await load(source, { after, upTo: present(upTo), ...options })
    pages.push(page)
    after = page.through
  }
  return pages
}

function numbersIn<P>(page: Page<P, EsdbEvent>): number[] {
  return page.events
    .filter(({ event, link }) => isOwn((link ?? event)?.streamId ?? ''))
    .map(({ event }) => Number((event?.data as { n?: number } | undefined)?.n))
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('expected a value, found none')
  return value
}

/** Until the server has an open read. */
async function reading(): Promise<void> {
  await expect
    .poll(async () => (await esdb.server.counters()).open.read, { timeout: 30_000 })
    .toBeGreaterThan(0)
}

/** Again, while the connection is made anew. */
async function eventually<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!orders().isTransient(error)) throw error
    }
  }
}
