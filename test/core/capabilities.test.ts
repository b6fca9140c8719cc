import { createDaemon, createHighWaterAgent } from '@tidemark/core'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { expect, test } from 'vitest'
import { alteredCheckpoints } from './rig.ts'

const {
  settled: _,
  skips: __,
  control: ___,
  ...bare
} = alteredCheckpoints(inMemoryCheckpoints(), { name: 'bareCheckpoints' })
const skipping = Object.assign(inMemoryEvents(), { passesUnproven: true })
const projections = [{ name: 'all', handle: () => {} }]
const REFUSED = expect.objectContaining({
  code: 'TIDEMARK_UNSUPPORTED_BY_STORE',
  option: 'checkpoints',
  store: 'bareCheckpoints',
  missing: 'skips',
  message: expect.stringMatching(
    /^checkpoints: bareCheckpoints has no `skips`, and this source passes positions without proof .+; keep the checkpoints in postgresCheckpoints/,
  ),
})

test('a source that skips is refused with checkpoints that count no skips, before anything runs', () => {
  expect(() => createDaemon({ source: skipping, checkpoints: bare, projections })).toThrow(REFUSED)
  expect(() => createHighWaterAgent({ source: skipping, checkpoints: bare })).toThrow(REFUSED)
})

test('a second version is refused with checkpoints that keep no roles, and a first one is not', () => {
  const daemonOf = (version: number) => () =>
    createDaemon({
      source: inMemoryEvents(),
      checkpoints: bare,
      projections: [{ name: 'all', version, handle: () => {} }],
    })
  expect(daemonOf(2)).toThrow(
    'projections[0].version: bareCheckpoints has no `control`, and which version of a projection is live is kept there',
  )
  expect(daemonOf(1)).not.toThrow()
})

test('a source that proves what it passes needs no more of a store than its base', async () => {
  const events = inMemoryEvents()
  events.append('a', 1)
  const daemon = createDaemon({ source: events, checkpoints: bare, projections })
  await daemon.start()
  await daemon.waitUntilProjected()
  await daemon.stop()
  expect(daemon.status().projections).toMatchObject([{ position: 1n }])
})
