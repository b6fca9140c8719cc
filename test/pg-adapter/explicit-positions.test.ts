import { expect, test, vi } from 'vitest'
import { agentOver, eventually, fileDatabase, refusal } from '../support/event-table.ts'

const db = fileDatabase()

const EXPLICIT = 'insert into events (position) overriding system value values (1000)'

test('a position above the sequence is refused at start, and accepted once the sequence has passed it', async () => {
  const events = await db.events()
  await events.append(2)
  await events.run(EXPLICIT)
  const error = await refusal({ pool: db.pool, table: events.name })
  expect(error).toMatchObject({ condition: 'explicit_positions' })
  expect(error.message).toMatch(
    /event at position 1000, but \S*events_position_seq has only handed out numbers up to 2/,
  )
  await events.run("select setval('events_position_seq', 1000)")
  const agent = await agentOver({ pool: db.pool, table: events.name })
  expect(agent.mark).toBe(1000n)
})

test('a position above a sequence that was never called is refused', async () => {
  const events = await db.events()
  await events.run(EXPLICIT)
  expect(await refusal({ pool: db.pool, table: events.name })).toMatchObject({
    condition: 'explicit_positions',
  })
})

test('a position written above an idle sequence under the running agent is found', async () => {
  const events = await db.events()
  await events.append(2)
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run(EXPLICIT)
  passTenSeconds()
  await eventually(() => agent.status()).toMatchObject({
    state: 'failing',
    mark: 2n,
    error: { condition: 'explicit_positions' },
  })
})

/** Of the clock by which the greatest position is looked for. */
function passTenSeconds() {
  const now = performance.now.bind(performance)
  vi.spyOn(performance, 'now').mockImplementation(() => now() + 10_000)
}
