import { createDaemon, EventMappingError, type HandlerFailedReport, type Logger } from '@tidemark/core'
import type { LoadRequest } from '@tidemark/core/adapter'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { altered, projectionOf, recording, rig, stateOf, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const upTo = (last: number): bigint[] => Array.from({ length: last }, (_, index) => BigInt(index + 1))

/** So many events, of which those cannot be mapped: a page with one of them fails. `called`: what the error says of where. */
async function unmapped(
  unmappable: ReadonlySet<bigint>,
  {
    count = 1_000,
    called = String,
    ...options
  }: Parameters<typeof recording>[1] & { count?: number; called?: (position: bigint) => string } = {},
) {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < count; i++) events.append('a', i)
  const loads: number[] = []
  const source = altered(events, {
    load: async (request: LoadRequest<bigint>) => {
      loads.push(request.limit)
      const page = await events.load(request)
      const found = page.positions.find((position) => unmappable.has(position))
      if (found !== undefined) throw new EventMappingError(called(found), new SyntaxError('no JSON'), 'a')
      return page
    },
  })
  const lines: string[] = []
  const line =
    (level: keyof Logger) =>
    (message: string): void => {
      lines.push(`${level}: ${message}`)
    }
  const logger: Logger = { info: line('info'), warn: line('warn'), error: line('error') }
  const reports: HandlerFailedReport[] = []
  const all = recording('all', options)
  const running = daemon([all], {
    source,
    logger,
    telemetry: { handlerFailed: (report) => reports.push(report) },
  })
  await running.start()
  return { clock, running, seen: all.seen, loads, lines, reports }
}

describe('an event among 1,000 that cannot be mapped', () => {
  test.each([1n, 2n, 250n, 500n, 501n, 637n, 1_000n])(
    'at position %d: all before it is committed, once, and it alone uses up attempts',
    async (at) => {
      const { clock, running, seen, loads } = await unmapped(new Set([at]), { batchSize: 500, attempts: 3 })
      await clock.until(() => stateOf(running, 'all') === 'paused')
      expect(seen).toEqual(upTo(Number(at) - 1))
      const position = String(at)
      expect(projectionOf(running, 'all')).toMatchObject({
        position: at === 1n ? undefined : at - 1n,
        error: { code: 'TIDEMARK_EVENT_MAPPING', position },
        failure: { stage: 'map', attempt: 3, attempts: 3, batch: { firstPosition: position, events: 1 } },
      })
      expect(
        loads.length,
        'whole pages, some nine halves of 500, what is before it, and its attempts',
      ).toBeLessThan(3 + 2 * 9 + 3)
    },
  )

  test('uses up none before it stands first, and is told when it is found and when it stands first', async () => {
    const { clock, running, reports, lines } = await unmapped(new Set([4n]), { batchSize: 8, attempts: 2 })
    await clock.until(() => stateOf(running, 'all') === 'paused')
    expect(reports.map(({ attempt, action }) => `${action} ${attempt}`)).toEqual([
      'retry 0',
      'retry 0',
      'retry 0',
      'retry 1',
      'pause 2',
    ])
    expect(lines).toEqual([
      expect.stringMatching(
        /^warn: .*"all" is retrying: an event could not be mapped at position 4 \(a\): .*its checkpoint is none yet; what is before it is handled first/,
      ),
      expect.stringMatching(
        /^warn: .* at position 4 \(a\), attempt 1 of 2: .* its checkpoint is 3; it is tried again/,
      ),
      expect.stringMatching(
        /^error: .*"all" is paused: an event could not be mapped at position 4 \(a\), attempt 2 of 2/,
      ),
    ])
  })

  test('is one of several: each is found, in order, once the one before it is mended, and pages are whole again', async () => {
    const unmappable = new Set([301n, 302n, 640n])
    const { clock, running, seen, loads } = await unmapped(unmappable, { batchSize: 100, attempts: 1 })
    for (const at of [...unmappable]) {
      await clock.until(
        () => stateOf(running, 'all') === 'paused' && projectionOf(running, 'all').position === at - 1n,
      )
      unmappable.delete(at)
    }
    await clock.until(() => projectionOf(running, 'all').position === 1_000n)
    expect(seen).toEqual(upTo(1_000))
    expect(loads.at(-1)).toBe(100)
  })
})

test('an event that its source names in a text of its own is tried as it stands: nothing says what is before it', async () => {
  const { clock, running, seen } = await unmapped(new Set([4n]), {
    batchSize: 8,
    attempts: 2,
    called: (position) => `row ${position}`,
  })
  await clock.until(() => stateOf(running, 'all') === 'paused')
  expect(seen).toEqual([])
  expect(projectionOf(running, 'all').error).toMatchObject({ position: 'row 4' })
})

test('what mapRow throws on events in memory is told as that of an adapter', async () => {
  const clock = new FakeClock()
  const source = inMemoryEvents<number, number>({
    mapRow: ({ data }) => {
      if (data === 2) throw new RangeError('no such amount')
      return data
    },
  })
  for (let i = 0; i < 4; i++) source.append('a', i)
  const seen: number[] = []
  const daemon = createDaemon({
    source,
    checkpoints: inMemoryCheckpoints(),
    clock,
    projections: [{ name: 'all', attempts: 1, handle: (events) => void seen.push(...events) }],
  })
  await daemon.start()
  await clock.until(() => stateOf(daemon, 'all') === 'paused')
  expect(seen).toEqual([0, 1])
  expect(projectionOf(daemon, 'all').error).toMatchObject({
    code: 'TIDEMARK_EVENT_MAPPING',
    position: '3',
    eventType: 'a',
  })
  await clock.run(daemon.stop())
})
