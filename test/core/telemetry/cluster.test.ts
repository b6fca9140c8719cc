import { expect, test } from 'vitest'
import { startProgram } from '../../support/child-program.ts'
import { programPath } from '../../support/program.ts'
import { samplesOf } from './scrape.ts'

test('under node:cluster the workers of one store show what one process shows; only their own work is summed', async () => {
  const startedAt = Date.now() / 1_000
  const scrape = await startProgram(programPath('clustered-daemons')).said(/^([\s\S]*)# end$/m)
  const samples = samplesOf(scrape)
  const of = (name: string, labels: string): number | undefined =>
    samples.get(`martend_async_daemon_${name}{${labels}}`)
  const store = 'source="in-memory"'
  const projection = 'projection_name="balances"'

  // Each of the three workers shows these same values.
  expect({
    mark: of('high_water_mark', store),
    settled: of('settled_position', store),
    head: of('store_head', store),
    stale: of('high_water_mark_stale', store),
    gaps: of('open_gaps', store),
    holders: of('gap_holders', store),
    position: of('projection_position', projection),
    lag: of('projection_lag_positions', projection),
    live: of('projection_state', `${projection},state="live"`),
    skipped: of('skipped_events_recorded', `${projection},reason="historical_gap"`),
    provenEmpty: of('proven_empty_positions', store),
  }).toEqual({
    mark: 7,
    settled: 7,
    head: 9,
    stale: 1,
    gaps: 1,
    holders: 1,
    position: 7,
    lag: 2,
    live: 1,
    skipped: 0,
    provenEmpty: 1,
  })
  const lastPoll = of('last_successful_poll_timestamp_seconds', store)
  expect(lastPoll, 'an age, not the sum of three dates').toBeGreaterThanOrEqual(startedAt)
  expect(lastPoll).toBeLessThanOrEqual(Date.now() / 1_000)

  // Six events in each worker.
  expect(of('processed_events', projection)).toBe(18)
  expect(of('batch_size_events_sum', projection)).toBe(18)
})
