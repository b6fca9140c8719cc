import { createOperations, type Operations } from '@tidemark/core/operations'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { checkpointsBeside, fileDatabase, startDaemon } from '../../support/event-table.ts'

const db = fileDatabase()
const BY = { who: 'ann', why: 'the mail was sent by hand' }

/** Of ten events, 3 and 7 were given up. */
async function twoLetters() {
  const events = await db.events()
  await events.append(10)
  const source = postgresEvents({ pool: db.pool, table: events.name })
  const checkpoints = checkpointsBeside(events, db.pool)
  const daemon = await startDaemon({
    source,
    checkpoints,
    projections: [
      {
        name: 'mails',
        attempts: 1,
        onFailure: 'skip',
        handle: (page) => {
          if (page.some(({ position }) => ['3', '7'].includes(String(position))))
            throw new Error('no address')
        },
      },
    ],
  })
  await daemon.waitUntilProjected()
  const { deadLetters } = createOperations({ checkpoints })
  return { events, checkpoints, source, deadLetters, letters: await deadLetters.list() }
}

test('what was given up is listed with where it is and why, shown by its id, and counted', async () => {
  const { deadLetters, letters } = await twoLetters()
  expect(letters).toMatchObject(
    ['3', '7'].map((position) => ({
      projection: 'mails',
      firstPosition: position,
      error: { message: 'no address' },
    })),
  )
  const [first, second] = letters
  expect(await deadLetters.list({ projection: 'mails', limit: 1, after: first?.id ?? '' })).toEqual([second])
  expect(await deadLetters.show(second?.id ?? '')).toEqual({
    ...second,
    eventsNow: undefined,
    unreadable: undefined,
  })
  expect(await deadLetters.show('404')).toBeUndefined()
  expect(await deadLetters.counts()).toMatchObject([{ projection: 'mails', open: 2 }])
})

test('what was given up is shown with its events as they are in the source now, or why they cannot be read', async () => {
  const { events, checkpoints, source, letters } = await twoLetters()
  const id = letters[1]?.id ?? ''
  const { deadLetters } = createOperations({ checkpoints, source })
  expect(await deadLetters.show(id)).toMatchObject({ eventsNow: [{ position: 7n }], unreadable: undefined })

  const mapRow = (): never => {
    throw new Error('no such type')
  }
  const unmapped = postgresEvents({ pool: db.pool, table: events.name, mapRow })
  const shown = await createOperations({ checkpoints, source: unmapped }).deadLetters.show(id)
  expect(shown).toMatchObject({ id, eventsNow: undefined, unreadable: { name: 'EventMappingError' } })

  await events.run(`delete from ${events.name} where position = 7`)
  expect(await deadLetters.show(id)).toMatchObject({ eventsNow: [] })
  const another = postgresEvents({ pool: db.pool, table: events.name, name: 'another store' })
  const elsewhere = createOperations({ checkpoints, source: another })
  expect(await elsewhere.deadLetters.show(id)).toMatchObject({ eventsNow: undefined, unreadable: undefined })
})

test('of ten who close the same letters at once each letter is closed by one, with who and why', async () => {
  const { deadLetters, letters } = await twoLetters()
  const ids = letters.map(({ id }) => id)
  const answers = await Promise.all(Array.from({ length: 10 }, () => deadLetters.resolve({ ids, ...BY })))
  expect(answers.flat().sort()).toEqual([...ids].sort())
  expect(await deadLetters.discard({ ids, ...BY })).toEqual([])
  expect(await deadLetters.list({ state: 'open' })).toEqual([])
  expect(await deadLetters.list({ state: 'resolved' })).toMatchObject(ids.map((id) => ({ id, closed: BY })))
})

test('a letter that is discarded is told from one whose effect is there', async () => {
  const { deadLetters, letters } = await twoLetters()
  const [first, second] = letters.map(({ id }) => id)
  await deadLetters.discard({ ids: [first ?? ''], who: 'ann', why: 'a test customer' })
  expect((await deadLetters.list({ state: 'discarded' })).map(({ id }) => id)).toEqual([first])
  expect((await deadLetters.list({ state: 'open' })).map(({ id }) => id)).toEqual([second])
})

test.each([
  ['a reason is missing', { ids: ['1'], who: 'ann', why: '' }, 'why: expected'],
  ['nobody asks', { ids: ['1'], who: '', why: 'sent' }, 'who: expected'],
  ['an option does not exist', { ids: ['1'], ...BY, reason: 'sent' }, 'reason: expected'],
])('a letter is not closed where %s', async (_, request, message) => {
  const { deadLetters } = createOperations({ checkpoints: inMemoryCheckpoints() })
  await expect(deadLetters.discard(request)).rejects.toThrow(message)
})

test('letters of a state that does not exist are not asked for', async () => {
  const { deadLetters } = createOperations({ checkpoints: inMemoryCheckpoints() })
  await expect(deadLetters.list({ state: 'closed' as 'open' })).rejects.toThrow('state: expected one of open')
})

test.each([
  ['units with an option that does not exist', (asked) => asked.list({ nope: 1 } as object), 'nope'],
  ['units of a projection that is no text', (asked) => asked.list({ projection: 5 as never }), 'projection'],
  ['letters after what is no id', (asked) => asked.deadLetters.list({ after: 'abc' }), 'after'],
  [
    'letters of a projection that is no text',
    (asked) => asked.deadLetters.list({ projection: 5 as never }),
    'projection',
  ],
  [
    'letters of a type that is no text',
    (asked) => asked.deadLetters.list({ eventType: 5 as never }),
    'eventType',
  ],
] satisfies readonly (readonly [string, (asked: Operations<never>) => Promise<unknown>, string])[])(
  '%s are not asked for',
  async (_, ask, option) => {
    const operations = createOperations({ checkpoints: inMemoryCheckpoints() })
    await expect(ask(operations)).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION', option })
  },
)
