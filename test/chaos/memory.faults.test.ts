import { expect, test } from 'vitest'
import { startProgram } from '../support/child-program.ts'
import { programPath } from '../support/program.ts'
import { chaosStore } from './store.ts'

const KIB = 2 ** 10
const EVENTS = 2_000
const EVENT_BYTES = 5 * KIB
const PROJECTIONS = 64

/**
 * In a daemon of so many projections a page may bring 4 MiB, and brings half of that once one was given up: with the page that is read
 * ahead, 256 MiB for all of them. Pages that only count their events would be 640 MiB here, and pages as large as those of a few
 * projections some 470 MiB.
 */
const HEAP_MIB = 400

test('many projections that catch up at once over large events take a bounded memory, whatever batch size they ask for', async () => {
  const store = await chaosStore()
  await store.query('drop table events; create table events (position bigserial primary key, data text)')
  // No text is there twice.
  await store.query(
    `insert into events (data) select repeat('x', ${EVENT_BYTES - 8}) || lpad(n::text, 8, '0') from generate_series(1, ${EVENTS}) n`,
  )
  const child = startProgram(programPath('catching-up'), {
    DATABASE_URL: store.url,
    PROJECTIONS: String(PROJECTIONS),
    EVENTS: String(EVENTS),
    NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
  })
  const [code] = await child.exit
  expect(child.output()).toBe(`handled ${EVENTS} by ${PROJECTIONS}\n`)
  expect(code).toBe(0)
})
