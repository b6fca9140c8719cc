import { auditCommits, formatAudit, type PgPool } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { eventually, fileDatabase } from '../../support/event-table.ts'

const db = fileDatabase()

/** A pool that counts the looks for new events. */
function counting(looks: { count: number }): PgPool {
  return {
    connect: async () => {
      const client = await db.pool.connect()
      return Object.assign(Object.create(client), {
        query: (text: string) => {
          if (text.includes('order by seen.position')) looks.count++
          return client.query(text)
        },
        release: (destroy?: boolean) => client.release(destroy),
      })
    },
  }
}

test('without commit timestamps new events are watched: which were missing below a higher one, and for how long', async () => {
  const events = await db.events()
  await events.append(3)
  const [late, rolledBack] = [await db.session(), await db.session()]
  await late.query(`begin; insert into ${events.name} default values`)
  await rolledBack.query(`begin; insert into ${events.name} default values`)
  await events.append()
  const looks = { count: 0 }
  const asked = auditCommits({
    pool: counting(looks),
    table: events.name,
    liveMs: 3_000,
    waitsMs: [1, 60_000],
  })
  await eventually(() => looks.count).toBeGreaterThan(3)
  await late.query('commit')
  await rolledBack.query('rollback')
  const answer = await asked
  expect(answer).toMatchObject({ measured: 'live', past: { inversions: { events: 0 } } })
  const { live } = answer
  expect(live?.inversions).toMatchObject({
    inverted: 1,
    longest: [{ position: 4n, passedBy: 6n }],
    fixedWaits: [
      { waitMs: 0, lost: 1 },
      { waitMs: 1, lost: 1 },
      { waitMs: 60_000, lost: 0 },
    ],
  })
  expect(live?.stillMissing).toBe(1)
  expect(formatAudit(answer)).toMatch(/position 4 came more than .* after position 6/)
  // The order of transactions is known without the setting.
  expect(answer.past.behindXmin).toMatchObject({ events: 4, wereOpen: undefined })
})
