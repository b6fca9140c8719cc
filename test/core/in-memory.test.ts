import { wholeUnit } from '@tidemark/core/adapter'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { describe, expect, test } from 'vitest'
import { never } from '../support/never.ts'

const evidence = { incarnation: 'only', settled: '9', logPosition: undefined }
const request = (from: string | undefined, to: string) => ({
  unit: wholeUnit('all'),
  source: 'events',
  from,
  to,
  evidence,
  signal: new AbortController().signal,
})

describe('events in memory', () => {
  test('are loaded in the order of their positions, whatever order they were committed in', async () => {
    const events = inMemoryEvents<string>()
    const slow = events.begin()
    slow.append('a', 'first')
    events.append('a', 'second')
    slow.append('a', 'third')
    slow.commit()
    const page = await events.load({
      after: undefined,
      upTo: 3n,
      limit: 10,
      eventTypes: undefined,
      evidence: { incarnation: '', settled: undefined, logPosition: undefined },
      signal: new AbortController().signal,
    })
    expect(page.events.map((event) => event.data)).toEqual(['first', 'second', 'third'])
    expect(page).toMatchObject({ positions: [1n, 2n, 3n], through: 3n })
  })

  test('refuse to go on with a transaction that has ended', () => {
    const events = inMemoryEvents<string>()
    const transaction = events.begin()
    transaction.append('a', '')
    transaction.commit()
    expect(() => transaction.append('a', '')).toThrow('already ended')
    expect(() => transaction.rollback()).toThrow('already ended')
  })
})

/** With the checkpoint of the projection "all". */
async function opened() {
  const checkpoints = inMemoryCheckpoints()
  await checkpoints.open(wholeUnit('all'), { source: 'events', head: undefined }, never())
  return checkpoints
}

describe('checkpoints in memory', () => {
  test('do not move when the work fails', async () => {
    const checkpoints = await opened()
    const work = async (): Promise<void> => {
      throw new Error('boom')
    }
    await expect(checkpoints.advance(request(undefined, '3'), work)).rejects.toThrow('boom')
    expect(
      (await checkpoints.open(wholeUnit('all'), { source: 'events', head: undefined }, never())).position,
    ).toBeUndefined()
  })

  test('refuse to be moved from where they do not stand, without doing the work', async () => {
    const checkpoints = await opened()
    await checkpoints.advance(request(undefined, '3'), async () => {})
    let worked = false
    const work = async (): Promise<void> => {
      worked = true
    }
    await expect(checkpoints.advance(request('2', '4'), work)).rejects.toMatchObject({
      code: 'TIDEMARK_CHECKPOINT_CONFLICT',
    })
    expect(worked).toBe(false)
  })

  test('are remembered as progress, for the source they are of', async () => {
    const checkpoints = await opened()
    await checkpoints.advance(request(undefined, '3'), async () => {})
    await checkpoints.settled?.save('events', { ...evidence, settled: '12' }, never())
    expect(await checkpoints.progress('events', never())).toMatchObject([
      { unit: wholeUnit('all'), position: '3', settled: '9' },
      { unit: undefined, position: undefined, settled: '12' },
    ])
    expect(await checkpoints.progress('others', never())).toEqual([])
  })

  test('leave out what of a run another daemon has already passed', async () => {
    const checkpoints = await opened()
    await checkpoints.skips?.record('events', [{ stored: '4', current: '7', count: 2n }], never())
    await checkpoints.skips?.record(
      'events',
      [
        { stored: '4', current: '7', count: 2n },
        { stored: '5', current: '10', count: 4n },
      ],
      never(),
    )
    const { crossed, skipped } = await checkpoints.advance(request(undefined, '10'), async () => {})
    expect(crossed.map(({ current, count }) => ({ current, count }))).toEqual([
      { current: '7', count: 2n },
      { current: '10', count: 2n },
    ])
    expect(skipped).toEqual({ stale_high_water_mark: 4n })
  })

  test('reject work that goes on after its signal, once, and leave nothing unhandled', async () => {
    const checkpoints = await opened()
    const stop = new AbortController()
    const advancing = checkpoints.advance({ ...request(undefined, '3'), signal: stop.signal }, async () => {
      stop.abort(new Error('stopped'))
      await Promise.resolve()
      throw new Error('too late to matter')
    })
    await expect(advancing).rejects.toThrow('stopped')
    await expect(
      checkpoints.advance({ ...request(undefined, '3'), signal: stop.signal }, async () => {
        throw new Error('not even begun')
      }),
    ).rejects.toThrow('stopped')
    expect(
      (await checkpoints.open(wholeUnit('all'), { source: 'events', head: undefined }, never())).position,
    ).toBeUndefined()
  })
})
