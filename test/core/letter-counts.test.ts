import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { alteredCheckpoints, alteredLetters, type Rig, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const never = (): AbortSignal => new AbortController().signal

async function skipping({ clock, events, checkpoints, daemon }: Rig, altered = {}) {
  const { deadLetters } = checkpoints
  if (deadLetters === undefined) throw new Error('checkpoints in memory keep dead letters')
  const counts = vi.fn((signal: AbortSignal) => deadLetters.counts(signal))
  const store = alteredCheckpoints(checkpoints, {
    deadLetters: alteredLetters(deadLetters, { counts, ...altered }),
  })
  for (let i = 0; i < 3; i++) events.append('a', i)
  const registry = new Registry()
  const fails = (): never => {
    throw new Error('boom')
  }
  const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const running = daemon([{ name: 'search', attempts: 1, onFailure: 'skip', handle: fails }], {
    checkpoints: store,
    metrics: promClientMetrics({ registry }),
    logger,
  })
  await running.start()
  await clock.run(running.waitUntilProjected())
  const scrape = async (): Promise<string | undefined> =>
    /dead_letters_open\{[^}]*\} (\d+)/.exec(await registry.metrics())?.[1]
  const settled = () => clock.run(Promise.resolve())
  return { counts, deadLetters, scrape, settled, logger, running }
}

test('open dead letters are counted when a scrape asks, at most every 10 s, and shown at the next scrape', async () => {
  const all = rig()
  const { clock } = all
  const { counts, deadLetters, scrape } = await skipping(all)
  expect(counts, 'while nobody looks').not.toHaveBeenCalled()
  expect(await scrape()).toBeUndefined()
  await vi.waitFor(async () => expect(await scrape()).toBe('3'))
  expect(counts).toHaveBeenCalledTimes(1)
  const [first] = await deadLetters.list({}, { limit: 1 }, never())
  await deadLetters.close([first?.id ?? ''], { as: 'resolved', why: 'done', who: 'Ada' }, never())
  await clock.advance(9_000)
  await scrape()
  expect(counts).toHaveBeenCalledTimes(1)
  await clock.advance(1_000)
  await scrape()
  await vi.waitFor(async () => expect(await scrape()).toBe('2'))
  expect(counts).toHaveBeenCalledTimes(2)
})

test('that they cannot be counted is said once, and the work goes on', async () => {
  const all = rig()
  const { clock } = all
  const fails = async (): Promise<never> => {
    throw new Error('relation "dead_letter_counts" does not exist')
  }
  const { scrape, logger, running } = await skipping(all, { counts: fails })
  for (let scrapes = 0; scrapes < 3; scrapes++) {
    expect(await scrape()).toBeUndefined()
    await clock.advance(10_000)
  }
  expect(
    logger.warn.mock.calls.map(([message]) => message).filter((text) => text.includes('counted')),
  ).toEqual([expect.stringContaining('relation "dead_letter_counts" does not exist')])
  const [event] = [all.events.append('a', 4)]
  await clock.run(running.waitUntilProjected())
  expect(running.status().projections[0]?.position).toBe(event)
})
