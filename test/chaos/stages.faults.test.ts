import { describe, test } from 'vitest'
import { fileDatabase } from '../support/event-table.ts'
import { expectBlameless, expectDecided, OWN_FAULTS, STORE_FAULTS } from './stages.ts'

const db = fileDatabase()

describe('a fault of the store is blamed on no event, whatever the policy, and work goes on by itself once it is gone:', () => {
  test.each(Object.entries(STORE_FAULTS))('%s', (_, fault) => expectBlameless(db, fault))
})

describe('what is done about an event at which handler or mapping fail is what its policy says:', () => {
  test.each(Object.entries(OWN_FAULTS))('%s', (name, fault) => expectDecided(db, name, fault))
})
