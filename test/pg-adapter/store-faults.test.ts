import { describe, test } from 'vitest'
import {
  expectBlameless,
  expectDecided,
  expectStandstill,
  OWN_FAULTS,
  STORE_FAULTS,
} from '../chaos/stages.ts'
import { fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

/** One of each kind; `test/chaos/stages.faults.test.ts` has them all. */
const chosen = <T>(of: Readonly<Record<string, T>>, names: readonly string[]): [string, T][] =>
  names.map((name) => {
    const found = of[name]
    if (found === undefined) throw new TypeError(`there is no fault "${name}"`)
    return [name, found]
  })

describe('a fault of the store is blamed on no event, whatever the policy, and work goes on by itself once it is gone:', () => {
  test.each(
    chosen(STORE_FAULTS, [
      'read: the right to read the event table is revoked (42501)',
      'handle: the server process is ended in a statement of the handler (57P01)',
      'commit: the right to move checkpoints is revoked (42501)',
      'commit: the server is read-only (25006)',
    ]),
  )('%s', (_, fault) => expectBlameless(db, fault))
})

describe('what is done about an event at which handler or mapping fail is what its policy says:', () => {
  test.each(
    chosen(OWN_FAULTS, [
      'handle: throws null',
      'handle: what it calls refuses its connection (ECONNREFUSED)',
      'map: throws',
    ]),
  )('%s', (name, fault) => expectDecided(db, name, fault))
})

test('a handler that has ended its transaction is not called again, whatever the policy', () =>
  expectStandstill(db))
