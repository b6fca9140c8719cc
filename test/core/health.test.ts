import {
  type Daemon,
  type DaemonHealth,
  HandlerEndedTransactionError,
  LateEventsError,
  StoreRewoundError,
} from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { afterEach, describe, expect, test } from 'vitest'
import { altered, alteredCheckpoints, gate, recording, rig, stopAll, TransientError } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const forever = () => new Promise<never>(() => {})
const GOOD = { live: true, ready: true, reasons: [] }

function projectionOf(health: DaemonHealth, name = 'all') {
  return health.projections.find((projection) => projection.name === name)
}

function verdicts(daemon: Daemon<bigint>) {
  const { live, ready, mark, projections } = daemon.health()
  return { live, ready, mark: mark.status, projections: projections.map(({ status }) => status) }
}

describe('a projection is', () => {
  test('ok while nothing is appended, however long', async () => {
    const { clock, events, daemon } = rig()
    const running = daemon([recording('all'), recording('none', { eventTypes: ['never'] })])
    await running.start()
    events.append('a', 1)
    await clock.advance(MINUTE)
    for (let minute = 0; minute < 10; minute++) {
      await clock.advance(MINUTE)
      expect(running.health()).toMatchObject({ ...GOOD, mark: { status: 'idle' } })
      expect(verdicts(running).projections).toEqual(['ok', 'ok'])
    }
  })

  test('ok while nothing was ever appended', async () => {
    const { clock, daemon } = rig()
    const running = daemon([recording('all')])
    await running.start()
    await clock.advance(10 * MINUTE)
    expect(verdicts(running)).toEqual({ live: true, ready: true, mark: 'idle', projections: ['ok'] })
  })

  test('lagging, and ready, while it works off a backlog', async () => {
    const { clock, events, daemon } = rig()
    for (let i = 0; i < 100; i++) events.append('a', i)
    const handle = () => clock.sleep(1_000, new AbortController().signal)
    const running = daemon([{ name: 'all', batchSize: 1, handle }])
    await running.start()
    await clock.advance(9_000)
    expect(projectionOf(running.health())).toMatchObject({ status: 'ok' })
    for (let i = 0; i < 50; i++) {
      await clock.advance(1_000)
      expect(running.health({ stalledAfterMs: 5_000 })).toMatchObject({
        ...GOOD,
        projections: [{ status: i === 0 ? expect.anything() : 'lagging', state: 'catching_up' }],
      })
    }
    await clock.advance(MINUTE)
    expect(projectionOf(running.health())).toMatchObject({ status: 'ok', lagMs: 0 })
  })

  test('stalled, and not ready, where its handler does not end; a restart might only cut it short', async () => {
    const { clock, events, daemon } = rig()
    const running = daemon([{ name: 'all', handle: forever }])
    await running.start()
    events.append('a', 1)
    await clock.advance(59_000)
    expect(projectionOf(running.health())).toMatchObject({ status: 'lagging' })
    await clock.advance(2_000)
    expect(running.health()).toMatchObject({
      live: true,
      ready: false,
      reasons: [/^projection "all" is stalled: .*its handler has not ended$/].map((text) =>
        expect.stringMatching(text),
      ),
      projections: [{ status: 'stalled', pulse: { waitsFor: 'handler' } }],
    })
    await clock.advance(HOUR)
    expect(verdicts(running)).toMatchObject({ live: true, ready: false })
  })

  test('stalled, and not ready, where the checkpoint store fails for long; ok once it works again', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    let isBroken = true
    const store = alteredCheckpoints(checkpoints, {
      advance: async (request, work) => {
        if (isBroken) throw new TransientError('the table is gone')
        return await checkpoints.advance(request, work)
      },
    })
    const running = daemon([recording('all')], { checkpoints: store })
    await running.start()
    events.append('a', 1)
    await clock.advance(50_000)
    expect(verdicts(running)).toMatchObject({ ready: true })
    await clock.advance(15_000)
    expect(running.health()).toMatchObject({
      live: true,
      ready: false,
      projections: [{ status: 'stalled', state: 'retrying', failure: { stage: 'commit', error: 'Error' } }],
    })
    isBroken = false
    await clock.advance(10_000)
    expect(running.health()).toMatchObject({ ...GOOD, projections: [{ status: 'ok', failure: undefined }] })
  })

  test('paused, and not ready, while its handler fails at an event; ok when that passes', async () => {
    const { clock, events, daemon } = rig()
    let isPoison = true
    const handle = () => {
      if (isPoison) throw new RangeError('no such account')
    }
    const running = daemon([{ name: 'all', handle }, recording('other')])
    await running.start()
    events.append('a', 1)
    await clock.advance(MINUTE)
    expect(running.health()).toMatchObject({
      live: true,
      ready: false,
      projections: [
        {
          status: 'paused',
          why: 'its handler failed: RangeError; it tries again by itself',
          failure: {
            stage: 'handle',
            error: 'RangeError',
            batch: { firstPosition: '1' },
            nextTryAtMs: expect.any(Number),
          },
        },
        { status: 'ok' },
      ],
    })
    isPoison = false
    await clock.advance(10 * MINUTE)
    expect(running.health()).toMatchObject({ ...GOOD, projections: [{ status: 'ok' }, { status: 'ok' }] })
  })

  test('failed, and not ready, where its handler has ended its transaction; a restart would repeat what that has committed', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    const store = alteredCheckpoints(checkpoints, {
      advance: async () => {
        throw new HandlerEndedTransactionError('all')
      },
    })
    const running = daemon([recording('all')], { checkpoints: store })
    await running.start()
    events.append('a', 1)
    await clock.advance(HOUR)
    expect(running.health()).toMatchObject({
      live: true,
      ready: false,
      projections: [
        { status: 'failed', state: 'paused', failure: { error: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' } },
      ],
    })
  })

  test('paused, ready and live while an operator wants it, also where its handler had failed before; ok once it is resumed', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    let isPoison = true
    let isSlow = false
    const handle = () => {
      if (isPoison) throw new RangeError('no such account')
      if (isSlow) return clock.sleep(5_000, new AbortController().signal)
    }
    const running = daemon([{ name: 'all', handle }])
    await running.start()
    events.append('a', 1)
    await clock.advance(MINUTE)
    expect(running.health()).toMatchObject({
      ready: false,
      projections: [{ status: 'paused', pausedBy: undefined }],
    })
    const operations = createOperations({ checkpoints })
    const asked = { projection: 'all', who: 'ada', why: 'a migration' }
    await clock.run(operations.pause(asked))
    await clock.advance(30 * MINUTE)
    expect(running.health()).toMatchObject({
      ...GOOD,
      projections: [
        {
          status: 'paused',
          why: 'ada has paused it: a migration',
          pausedBy: { who: 'ada', why: 'a migration' },
        },
      ],
    })
    isPoison = false
    isSlow = true
    await clock.run(operations.resume(asked))
    await clock.advance(2_000)
    expect(running.health()).toMatchObject({
      ...GOOD,
      projections: [{ state: 'retrying', pausedBy: undefined, pulse: { waitsFor: 'handler' } }],
    })
    await clock.advance(MINUTE)
    expect(running.health()).toMatchObject({ ...GOOD, projections: [{ status: 'ok', pausedBy: undefined }] })
  })

  test('standby, and ready, while another process moves its checkpoint', async () => {
    const { clock, events, daemon } = rig()
    const owner = daemon([recording('all')])
    const other = daemon([recording('all')])
    await owner.start()
    await other.start()
    for (let i = 0; i < 300; i++) {
      events.append('a', i)
      await clock.advance(1_000)
    }
    const standing = [owner, other].map((node) => node.health())
    expect(standing).toMatchObject([GOOD, GOOD])
    expect(standing.map((health) => projectionOf(health)?.status).toSorted()).toEqual(['ok', 'standby'])
  })

  test('stalled on every node, and so not ready, where the owner has it and does not move it', async () => {
    const { clock, events, daemon } = rig()
    const owner = daemon([{ name: 'all', handle: forever }])
    const other = daemon([recording('all')])
    events.append('a', 1)
    await owner.start()
    await clock.settle()
    await other.start()
    await clock.advance(10 * MINUTE)
    expect(projectionOf(owner.health())).toMatchObject({ status: 'stalled' })
    expect(other.health()).toMatchObject({
      live: true,
      ready: false,
      projections: [
        { status: 'stalled', state: 'standby', why: expect.stringContaining('another process has it') },
      ],
    })
  })

  test('starting, and not ready, until its checkpoint was read', async () => {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const opening = gate()
    const store = alteredCheckpoints(checkpoints, {
      open: async (unit, first, signal) => {
        await opening.promise
        return await checkpoints.open(unit, first, signal)
      },
    })
    const running = daemon([recording('all')], { checkpoints: store })
    expect(verdicts(running)).toEqual({ live: true, ready: false, mark: 'stopped', projections: ['stopped'] })
    const started = running.start()
    expect(verdicts(running)).toEqual({
      live: true,
      ready: false,
      mark: 'starting',
      projections: ['starting'],
    })
    await clock.run(started)
    await clock.advance(1_000)
    expect(running.health()).toMatchObject({
      live: true,
      ready: false,
      reasons: ['projection "all" is starting: its checkpoint was not read yet'],
    })
    opening.open()
    await clock.advance(1_000)
    expect(verdicts(running)).toMatchObject({ live: true, ready: true, projections: ['ok'] })
    await clock.run(running.stop())
    expect(verdicts(running)).toEqual({ live: true, ready: false, mark: 'stopped', projections: ['stopped'] })
  })
})

describe('the mark is', () => {
  test('held, by whom and since when, while a transaction keeps it; each node does what can be done and is ready', async () => {
    const { clock, events, daemon } = rig()
    const running = daemon([recording('all')])
    await running.start()
    events.append('a', 1)
    await clock.advance(500)
    expect(running.health().mark).toMatchObject({ status: 'moving', mark: '1', heldBy: [] })
    const slow = events.begin()
    slow.append('a', 2)
    events.append('a', 3)
    const openedAtMs = clock.nowMs()
    await clock.advance(2 * MINUTE)
    const health = running.health()
    expect(health).toMatchObject({
      ...GOOD,
      mark: { status: 'held', head: '3', settled: '1', mark: '1' },
      projections: [{ status: 'lagging' }],
    })
    expect(health.mark.heldBy).toHaveLength(1)
    expect(health.mark.heldSinceMs).toBeGreaterThanOrEqual(openedAtMs)
    expect(health.mark.heldSinceMs).toBeLessThan(openedAtMs + 2_000)
    slow.commit()
    await clock.advance(1_500)
    expect(running.health()).toMatchObject({
      ...GOOD,
      mark: { status: 'moving', mark: '3' },
      projections: [{ status: 'ok' }],
    })
  })

  test('stale while polls fail; the process is ready for a failover of 50 s, and live for an hour', async () => {
    const { clock, events, daemon } = rig()
    let isDown = false
    const source = altered(events, {
      readHighWater: async (request) => {
        if (isDown) throw new TransientError('connect ECONNREFUSED')
        return await events.readHighWater(request)
      },
    })
    const running = daemon([recording('all')], { source })
    await running.start()
    events.append('a', 1)
    await clock.advance(10_000)
    isDown = true
    await clock.advance(50_000)
    expect(verdicts(running)).toMatchObject({ live: true, ready: true, mark: 'stale' })
    for (let minute = 0; minute < 60; minute++) {
      await clock.advance(MINUTE)
      expect(running.health()).toMatchObject({
        live: true,
        ready: false,
        mark: { status: 'stale', error: 'Error' },
      })
    }
    isDown = false
    await clock.advance(10_000)
    expect(verdicts(running)).toEqual({ live: true, ready: true, mark: 'idle', projections: ['ok'] })
  })

  test.each([
    ['went_backwards', new StoreRewoundError('the store stands at 1, and 7 was processed')],
    ['halted', new LateEventsError('events', [], [], 'Look who wrote them')],
  ])(
    '%s where an operator has to decide: not ready, and live, since a restart decides nothing',
    async (status, error) => {
      const { clock, events, daemon } = rig()
      let isBroken = false
      const source = altered(events, {
        readHighWater: async (request) => {
          if (isBroken) throw error
          return await events.readHighWater(request)
        },
      })
      const running = daemon([recording('all')], { source })
      await running.start()
      isBroken = true
      await clock.advance(4 * HOUR)
      expect(running.health()).toMatchObject({
        live: true,
        ready: false,
        mark: { status, error: error.code },
      })
    },
  )
})

describe('live fails where only a restart helps:', () => {
  test('start() was refused', async () => {
    const { clock, events, daemon } = rig()
    const source = altered(events, {
      readHighWater: async () => {
        throw new Error('the sequence has cache 20')
      },
    })
    const running = daemon([recording('all')], { source })
    await expect(clock.run(running.start())).rejects.toThrow('cache 20')
    expect(running.health()).toMatchObject({
      live: false,
      ready: false,
      reasons: ['start() was refused: Error; once that is mended, a restart helps'],
    })
  })

  test('a poll that has neither an answer nor an error', async () => {
    const { clock, events, daemon } = rig()
    let hangs = false
    const source = altered(events, {
      readHighWater: (request) => (hangs ? forever() : events.readHighWater(request)),
    })
    const running = daemon([recording('all')], { source })
    await running.start()
    hangs = true
    await clock.advance(4 * MINUTE)
    expect(verdicts(running)).toMatchObject({ live: true, ready: false, mark: 'stale' })
    await clock.advance(2 * MINUTE)
    expect(running.health()).toMatchObject({
      live: false,
      ready: false,
      reasons: [
        expect.stringMatching(/^the polls show no sign of life: a call of a store/),
        expect.anything(),
      ],
    })
  })

  test('a page that has neither', async () => {
    const { clock, events, daemon } = rig()
    const running = daemon([recording('all')], { source: altered(events, { load: forever }) })
    await running.start()
    events.append('a', 1)
    await clock.advance(4 * MINUTE)
    expect(verdicts(running)).toMatchObject({ live: true, ready: false, projections: ['stalled'] })
    await clock.advance(2 * MINUTE)
    expect(verdicts(running)).toMatchObject({ live: false, ready: false, projections: ['stalled'] })
  })

  test('and not where the daemon is being stopped', async () => {
    const { clock, events, daemon } = rig()
    const running = daemon([{ name: 'all', handle: forever }], { drainTimeoutMs: HOUR })
    await running.start()
    events.append('a', 1)
    await clock.settle()
    const stopped = running.stop()
    await clock.advance(30 * MINUTE)
    expect(running.health()).toMatchObject({ live: true, ready: false, reasons: ['the daemon was stopped'] })
    await clock.run(stopped)
  })
})

test('in a rolling deploy each node is ready from its start to its own stop, and some node always is', async () => {
  const { clock, events, daemon } = rig()
  const seen: bigint[] = []
  const node = () =>
    daemon([
      {
        name: 'all',
        handle: async (batch) => {
          await clock.sleep(40, new AbortController().signal)
          seen.push(...batch.map(({ position }) => position))
        },
      },
    ])
  let appended = 0
  let nodes: Daemon<bigint>[] = []
  const workFor = async (ms: number) => {
    for (let at = 0; at < ms; at += 10) {
      if (at % 50 === 0) events.append('a', ++appended)
      await clock.advance(10)
      for (const one of nodes) expect(one.health()).toMatchObject({ live: true, ready: true })
    }
  }
  for (let generation = 0; generation < 4; generation++) {
    const next = node()
    await clock.run(next.start())
    await clock.until(() => next.health().ready)
    const [former] = nodes
    nodes = [...nodes, next]
    await workFor(1_500)
    if (!former) continue
    nodes = [next]
    const stopped = former.stop()
    await workFor(1_500)
    await clock.run(stopped)
  }
  await clock.run(nodes[0]?.waitUntilProjected() ?? Promise.resolve())
  expect(seen).toEqual(Array.from({ length: appended }, (_, index) => BigInt(index + 1)))
})

test('asked 1,000 times in each turn of a start, it calls no store, makes no checkpoint and begins no loop', async () => {
  const traces: string[][] = []
  for (const asks of [0, 1_000]) {
    const { clock, events, checkpoints, daemon } = rig()
    events.append('a', 1)
    const calls: string[] = []
    const noting = <A extends unknown[], R>(name: string, call: (...args: A) => R) => {
      return (...args: A): R => {
        calls.push(name)
        return call(...args)
      }
    }
    const source = altered(events, {
      open: noting('open source', events.open.bind(events)),
      readHighWater: noting('poll', events.readHighWater.bind(events)),
      load: noting('load', events.load.bind(events)),
    })
    const store = alteredCheckpoints(checkpoints, {
      open: noting('open', checkpoints.open.bind(checkpoints)),
      read: noting('read', checkpoints.read.bind(checkpoints)),
      list: noting('list', checkpoints.list.bind(checkpoints)),
      advance: noting('advance', checkpoints.advance.bind(checkpoints)),
      progress: noting('progress', checkpoints.progress.bind(checkpoints)),
    })
    const running = daemon([recording('all'), recording('other')], { source, checkpoints: store })
    const ask = () => {
      for (let i = 0; i < asks; i++) running.health()
    }
    ask()
    const started = running.start()
    for (let turn = 0; turn < 20; turn++) {
      ask()
      await new Promise((resolve) => setImmediate(resolve))
    }
    await clock.run(started)
    await clock.advance(5_000)
    ask()
    calls.push(`${clock.sleeping} timers`, JSON.stringify(running.status()))
    traces.push(calls)
  }
  expect(traces[1]).toEqual(traces[0])
})

test('it can be written as JSON, and repeats no message of an error', async () => {
  const { clock, events, daemon } = rig()
  const handle = () => {
    throw new Error('cannot connect to postgres://app:secret@db/app for customer Ada')
  }
  const running = daemon([{ name: 'all', handle }])
  await running.start()
  events.append('a', 1)
  const slow = events.begin()
  slow.append('a', 2)
  events.append('a', 3)
  await clock.advance(MINUTE)
  const written = JSON.stringify(running.health())
  expect(JSON.parse(written)).toMatchObject({
    live: true,
    ready: false,
    mark: { source: events.name, status: 'held', heldBy: [{ transaction: expect.any(String) }] },
    projections: [{ name: 'all', status: 'paused', failure: { stage: 'handle', error: 'Error' } }],
  })
  expect(written).not.toMatch(/secret|Ada/)
  slow.commit()
})
