import { afterEach, describe, expect, test } from 'vitest'
import { HELP, parseOptions } from '../../examples/demo/src/watch/options.ts'
import { judge } from '../../examples/demo/src/watch/verdict.ts'
import { DemoProcess } from './demo-process.ts'

let demo: DemoProcess | undefined

afterEach(() => demo?.dispose())

const CONSUMERS = ['Emmett 0.42', 'loop: position > last', 'loop that waits 1 s']

interface WatchResult {
  readonly consumers: readonly {
    readonly name: string
    readonly committed: number
    readonly handled: number
    readonly lostToVisibility: number
    readonly lostOtherwise: number
    readonly provenLost: number
    readonly toldByMonitor: number
  }[]
}

test('the demo of the watch ends with a Ctrl-C, accuses none falsely, and leaves nothing behind', async () => {
  demo = await DemoProcess.startWatch('--seconds', '600', '--json', '--seed', '7', '--track-commit-timestamp')
  await demo.untilItSays('"loops.plain" has lost the event', { timeout: 120_000 })
  expect(await demo.metrics()).toMatch(/consumer_lost_events\{consumer="loops.plain",verdict="lost"\} [1-9]/)
  demo.child.kill('SIGINT')
  // npx and pnpm pass it on.
  demo.child.kill('SIGINT')
  expect(await demo.exitStatus(), demo.stderr).toBe(0)

  const result = demo.result<WatchResult>()
  expect(result).toEqual({
    postgres: expect.stringMatching(/^\d+\.\d+$/),
    trackCommitTimestamp: true,
    seed: 7,
    handlerMs: 0,
    seconds: expect.any(Number),
    looksApartMs: expect.any(Number),
    consumers: CONSUMERS.map((name) => ({
      name,
      committed: expect.any(Number),
      handled: expect.any(Number),
      lostToVisibility: expect.any(Number),
      lostOtherwise: expect.any(Number),
      provenLost: expect.any(Number),
      falselyAccused: 0,
      toldByMonitor: expect.any(Number),
      falselyByMonitor: 0,
      cannotTell: expect.any(Object),
    })),
    namedByTheQuery: expect.any(Number),
    audited: { inverted: expect.any(Number), lostByWaiting: expect.any(Number) },
    falselyAccused: 0,
    troubles: [],
  })
  for (const each of result.consumers) {
    expect(each.committed).toBe(each.handled + each.lostToVisibility + each.lostOtherwise)
    expect(each.provenLost).toBeLessThanOrEqual(each.lostToVisibility)
    expect(each.toldByMonitor).toBe(each.lostToVisibility + each.lostOtherwise)
  }
  expect(result.consumers[1]?.provenLost).toBeGreaterThan(0)
  expect(demo.stderr).toContain('none called lost that was not')
  expect(await demo.leftBehind()).toEqual([])
  // On a busy machine the looks of the watch are far apart.
}, 180_000)

describe('the verdict on a watched consumer', () => {
  const consumer = {
    name: 'loop',
    watchedAs: 'loops.loop',
    handled: new Set([1, 3, 6]),
    couldSee: (position: number) => position === 5,
    monitor: { lost: () => [], status: () => expect.fail('not asked'), stop: async () => {} },
    stop: async () => {},
  }
  const verdictOn = (told: readonly number[], toldByMonitor: readonly number[] = []) =>
    judge({
      consumer,
      committed: [1, 2, 3, 4, 5, 6],
      committedAt: () => 0,
      told,
      toldByMonitor,
      watched: undefined,
    })

  test('counts what was lost by whether it could be seen, and what of it was proven', () => {
    expect(verdictOn([4], [2, 4, 5, 6])).toEqual({
      name: 'loop',
      committed: 6,
      handled: 3,
      lostToVisibility: 2,
      lostOtherwise: 1,
      provenLost: 1,
      falselyAccused: 0,
      toldByMonitor: 3,
      falselyByMonitor: 1,
      cannotTell: {},
    })
  })

  test.each([
    ['was handled', [3], 1],
    ['was never committed', [7], 1],
    ['was told before', [2, 2], 1],
    ['was lost', [2, 4], 0],
  ])('an event that %s: accused falsely %j -> %i', (_, told, falselyAccused) => {
    expect(verdictOn(told)).toMatchObject({ falselyAccused })
  })
})

describe('the options of the demo of the watch', () => {
  test('have the defaults that the help names', () => {
    expect(parseOptions([])).toEqual({
      seconds: 12,
      seed: 1,
      handlerMs: 0,
      major: 18,
      trackCommitTimestamp: false,
      json: false,
    })
    for (const value of ['12', '1', '0', '18']) expect(HELP).toContain(`default ${value}`)
  })

  test.each([
    [['--postgres', '9'], '--postgres: expected one of 14, 15, 16, 17, 18, found "9"'],
    [['--seed', '-1'], '--seed'],
    [['--handler-ms', 'slow'], '--handler-ms: expected a whole number from 0 to 10000, found "slow"'],
  ])('refuse %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(message)
  })
})
