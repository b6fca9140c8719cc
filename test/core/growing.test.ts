import type { Logger } from '@tidemark/core'
import type { LoadRequest } from '@tidemark/core/adapter'
import { afterEach, expect, test } from 'vitest'
import { altered, projectionOf, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const never = (): AbortSignal => new AbortController().signal

interface Limited {
  readonly events: number
  readonly batchSize: number
  readonly tookMs: number
  /** Whether a batch of that size fails, after so many that have failed. */
  readonly fails: (size: number, failures: number) => boolean
}

/** A handler at which large batches fail. */
async function limited({ events: count, batchSize, tookMs, fails }: Limited) {
  const { clock, events, daemon } = rig()
  for (let i = 0; i < count; i++) events.append('a', i)
  const lines: string[] = []
  const line =
    (level: keyof Logger) =>
    (message: string): void => {
      lines.push(`${level}: ${message}`)
    }
  const logger: Logger = { info: line('info'), warn: line('warn'), error: line('error') }
  const all = recording('all', { batchSize })
  const loads: string[] = []
  const calls: string[] = []
  const states = new Set<string>()
  let failures = 0
  const source = altered(events, {
    load: (request: LoadRequest<bigint>) => {
      loads.push(`${request.limit} after ${request.after ?? 0}`)
      return events.load(request)
    },
  })
  const running = daemon(
    [
      {
        ...all,
        handle: async (batch, context) => {
          await clock.sleep(tookMs, never())
          const isFailing = fails(batch.length, failures)
          calls.push(`${batch.length}${isFailing ? ' fail' : ''}, loaded ${loads.at(-1)}`)
          if (!isFailing) return await all.handle(batch, context)
          failures++
          throw new Error('too many parameters')
        },
      },
    ],
    { source, logger, telemetry: { projectionStateChanged: ({ state }) => states.add(state) } },
  )
  await running.start()
  const begunMs = clock.nowMs()
  await clock.run(running.waitUntilProjected())
  await clock.settle()
  const minutes = (clock.nowMs() - begunMs) / 60_000
  return { running, seen: all.seen, lines, loads, calls, states, minutes, failures: () => failures }
}

test('a handler that takes no whole batch goes on at the size that it takes: few tries fail, and few lines say so', async () => {
  const { running, seen, lines, states, minutes, failures } = await limited({
    events: 5_000,
    batchSize: 100,
    tookMs: 1_000,
    fails: (size) => size > 30,
  })
  expect(seen).toHaveLength(5_000)
  expect(failures(), 'of 200 batches of 25 events').toBe(9)
  expect(projectionOf(running, 'all')).toMatchObject({ state: 'live', position: 5_000n, failure: undefined })
  expect([...states]).not.toContain('paused')
  const [first, second, ...others] = lines
  expect(first).toMatch(
    /^warn: .*"all" is retrying: its handler failed on 100 events .* at positions 1 to 100/,
  )
  expect(second).toMatch(/^info: .*"all" goes on, after 2 failures/)
  expect(others.filter((line) => line.startsWith('warn')).length).toBeLessThanOrEqual(minutes)
  expect(others.length).toBeLessThanOrEqual(failures())
})

test('while batches grow, the page after each is read ahead, and as large as it will be; while one is parted, none is', async () => {
  const { calls, loads } = await limited({
    events: 40,
    batchSize: 8,
    tookMs: 0,
    fails: (_, failures) => failures < 3,
  })
  expect(calls).toEqual([
    '8 fail, loaded 8 after 8',
    '4 fail, loaded 4 after 0',
    '2 fail, loaded 2 after 0',
    '1, loaded 1 after 0',
    '1, loaded 1 after 1',
    '2, loaded 4 after 4',
    '4, loaded 8 after 8',
    '8, loaded 8 after 16',
    '8, loaded 8 after 24',
    '8, loaded 8 after 32',
    '8, loaded 8 after 32',
  ])
  expect(new Set(loads).size, 'only the page that was dropped is loaded twice').toBe(loads.length - 1)
})
