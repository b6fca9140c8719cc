import { expect, test } from 'vitest'
import { startProgram } from '../support/child-program.ts'
import { programPath } from '../support/program.ts'
import { chaosStore } from './store.ts'

const KIB = 2 ** 10
/** So many events of that size, one after the other: 22 MB, which each projection reads. Pages of a thousand would be gigabytes. */
const SIZES = [
  [1_000, 10],
  [200, 5 * KIB],
  [2, 5 * KIB * KIB],
  [1_000, 10],
  [2, 5 * KIB * KIB],
] as const
const EVENTS = SIZES.reduce((sum, [count]) => sum + count, 0)

test.each([
  ['as large as they come out', {}],
  ['of a size that was asked for', { BATCH_SIZE: '5000' }],
])(
  'a hundred projections that catch up at once over events of 10 B, 5 kB and 5 MB take a bounded memory, with batches %s',
  async (_, size) => {
    const store = await chaosStore()
    await store.query('drop table events; create table events (position bigserial primary key, data text)')
    for (const [count, bytes] of SIZES) {
      await store.query(
        `insert into events (data) select repeat('x', ${bytes}) from generate_series(1, ${count})`,
      )
    }
    const child = startProgram(programPath('catching-up'), {
      DATABASE_URL: store.url,
      PROJECTIONS: '100',
      NODE_OPTIONS: '--max-old-space-size=512',
      ...size,
    })
    const [code] = await child.exit
    expect(child.output()).toBe(`handled ${EVENTS} by 100\n`)
    expect(code).toBe(0)
  },
)
