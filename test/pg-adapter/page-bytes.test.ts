import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { fileDatabase, startDaemon } from '../support/event-table.ts'

const db = fileDatabase()

const MIB = 2 ** 20
/** Of a page, unless it is one event. */
const MOST_BYTES = 8 * MIB

/** So many events of that size, one after the other. */
const SIZES = [
  [2_000, 10],
  [12, MIB],
  [1, 9 * MIB],
  [200, 5_000],
  [3, MIB],
  [300, 10],
] as const

test.each([
  ['by default', {}],
  ['where so many are wanted', { batchSize: 5_000 }],
])(
  'however large events are, no page brings more than it may; an event that is larger by itself passes alone: %s',
  async (_, size) => {
    const events = await db.events()
    for (const [count, bytes] of SIZES) {
      await events.run(
        `insert into events (data) select repeat('x', ${bytes}) from generate_series(1, ${count})`,
      )
    }
    const pages: { readonly events: number; readonly bytes: number }[] = []
    const source = postgresEvents({ pool: db.pool, table: events.name })
    const read = source.load.bind(source)
    const load: typeof source.load = async (request) => {
      const page = await read(request)
      const bytes = page.events.reduce((sum, { data }) => sum + String(data).length, 0)
      pages.push({ events: page.events.length, bytes })
      return page
    }
    const seen: bigint[] = []
    const daemon = await startDaemon({
      source: Object.assign(source, { load }),
      checkpoints: inMemoryCheckpoints(),
      projections: [
        {
          name: 'all',
          ...size,
          handle: (page) => void seen.push(...page.map(({ position }) => BigInt(String(position)))),
        },
      ],
    })
    await daemon.waitUntilProjected({ timeoutMs: 60_000 })
    const count = SIZES.reduce((sum, [of]) => sum + of, 0)
    expect(seen).toEqual(Array.from({ length: count }, (_, at) => BigInt(at + 1)))
    expect(pages.filter(({ bytes }) => bytes > MOST_BYTES)).toEqual([{ events: 1, bytes: 9 * MIB }])
    expect(pages.length).toBeLessThan(100)
  },
)
