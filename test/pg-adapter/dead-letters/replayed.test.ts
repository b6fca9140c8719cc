import type { Projection } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  checkpointsBeside,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../../support/event-table.ts'

const db = fileDatabase()
const BY = { who: 'ann', why: 'it is mended' }
const OF = { projection: 'all', ...BY }

/** Of eight events the one at 4 has failed, and that at 6 is parked behind it. Then the handler is mended. */
async function parked(more: Partial<Projection<PostgresRow, PgClient>> = {}) {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(8)
  let isMended = false
  const { handle } = recorder(events, 'all')
  const source = postgresEvents({ pool: db.pool, table: events.name })
  const checkpoints = checkpointsBeside(events, db.pool)
  const lines: string[] = []
  const say = (line: string) => void lines.push(line)
  const daemon = await startDaemon({
    source,
    checkpoints,
    logger: { info: say, warn: say, error: say },
    projections: [
      {
        name: 'all',
        attempts: 1,
        onFailure: 'park_key',
        keyOf: ({ position }) => (position === 6n ? '4' : String(position)),
        handle: async (page, context) => {
          await handle(page, context)
          if (!isMended && page.some(({ position }) => position === 4n)) throw new Error('cannot handle it')
        },
        ...more,
      } satisfies Projection<PostgresRow, PgClient>,
    ],
  })
  await daemon.waitUntilProjected()
  isMended = true
  const operations: Operations<bigint> = createOperations({ checkpoints, source })
  const letters = async () =>
    (await operations.deadLetters.list()).map(
      ({ firstPosition, closed }) => `${firstPosition} ${closed === undefined ? 'open' : closed.as}`,
    )
  const handled = () => handledBy(db.pool, events, 'all')
  expect(await letters()).toEqual(['4 open', '6 open'])
  expect(await handled()).toEqual([1n, 2n, 3n, 5n, 7n, 8n])
  const moveTo = async (position: bigint) => {
    await operations.pause(OF)
    await operations.moveTo({ ...OF, position })
  }
  return { lines, events, operations, letters, handled, moveTo, resume: () => operations.resume(OF) }
}

test('a move back closes the dead letters of the events that are handled again, and nothing is parked behind them', async () => {
  const { operations, letters, handled, moveTo, resume } = await parked()
  await moveTo(2n)
  expect(await letters()).toEqual(['4 replayed', '6 replayed'])
  expect(await operations.deadLetters.counts()).toEqual([])
  const [closed] = await operations.deadLetters.list({ state: 'replayed', limit: 1 })
  expect(closed?.closed).toMatchObject({
    who: 'ann',
    why: 'the checkpoint was moved back to 2: it is mended',
  })
  await resume()
  await eventually(handled).toEqual([1n, 2n, 3n, 5n, 7n, 8n, 3n, 4n, 5n, 6n, 7n, 8n])
  expect(await letters()).toEqual(['4 replayed', '6 replayed'])
})

test('a dead letter below the new position stays open, and what follows it in its key is parked again', async () => {
  const { operations, letters, handled, moveTo, resume } = await parked()
  await moveTo(5n)
  expect(await letters()).toEqual(['4 open', '6 replayed'])
  await resume()
  await eventually(letters).toEqual(['4 open', '6 replayed', '6 open'])
  await operations.deadLetters.retry(OF)
  await eventually(letters).toEqual(['4 retried', '6 replayed', '6 retried'])
  expect(await handled()).toEqual([1n, 2n, 3n, 5n, 7n, 8n, 7n, 8n, 4n, 6n])
})

test('a rebuild in place closes all of them with its reset, or none', async () => {
  let isRefused = true
  const { operations, letters, handled } = await parked({
    reset: async () => {
      if (isRefused) throw new Error('not now')
    },
  })
  await expect(operations.rebuild(OF)).rejects.toMatchObject({ code: 'TIDEMARK_OPERATION_REFUSED' })
  expect(await letters()).toEqual(['4 open', '6 open'])
  isRefused = false
  await operations.rebuild(OF)
  expect(await letters()).toEqual(['4 replayed', '6 replayed'])
  await eventually(handled).toEqual([1n, 2n, 3n, 5n, 7n, 8n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n])
})

test('those of a projection that is forgotten are discarded: nothing is parked behind them when it begins anew', async () => {
  const { events, operations, letters, handled } = await parked()
  await operations.pause(OF)
  await operations.forget(OF)
  expect(await letters()).toEqual(['4 discarded', '6 discarded'])
  const [closed] = await operations.deadLetters.list({ state: 'discarded', limit: 1 })
  expect(closed?.closed).toMatchObject({ who: 'ann', why: 'the projection was forgotten: it is mended' })
  expect(await operations.deadLetters.counts()).toEqual([])
  await events.append(1)
  await eventually(handled).toEqual([1n, 2n, 3n, 5n, 7n, 8n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n])
})

test('those of a projection that sends once stay open, since it is not given the events again', async () => {
  const { lines, operations, letters, handled, moveTo, resume } = await parked({
    effects: 'live_only',
    reset: async () => {},
  })
  await moveTo(2n)
  expect(await letters()).toEqual(['4 open', '6 open'])
  await resume()
  await operations.rebuild(OF)
  expect(await letters()).toEqual(['4 open', '6 open'])
  await operations.deadLetters.retry(OF)
  await eventually(letters).toEqual(['4 retried', '6 retried'])
  expect(await handled()).toEqual([1n, 2n, 3n, 5n, 7n, 8n, 4n, 6n])
  await eventually(() => lines).toContainEqual(
    expect.stringMatching(
      /has handled the events of dead letter \d+, at position 4, and closed it: ann has asked for it \(it is mended\)$/,
    ),
  )
})
