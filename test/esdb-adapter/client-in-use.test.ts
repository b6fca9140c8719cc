import { InvalidOptionError } from '@tidemark/core'
import { esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { clientInUse } from '../../packages/esdb-adapter/src/client-in-use.ts'
import { client as clients } from './client.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const unavailable = (): Error => Object.assign(new clients.UnavailableError({} as never))

class Fake {
  readonly disposed = vi.fn(async () => {})
  readonly closed: (() => void)[] = []
  dispose = () => this.disposed()
  async *readStream() {}
  async *readAll() {}
  on = (_event: string, closed: () => void) => this.closed.push(closed)
  unsubscribe = async () => {}
  destroy = () => {}
  subscribeToStream = () => this
  subscribeToAll = () => this
  appendToStream = async () => ({ success: true, nextExpectedRevision: 0n })
  setStreamMetadata = async () => {}
}

function rig(beforeMaking: () => void = () => {}) {
  const made: Fake[] = []
  const make = (): Fake => {
    beforeMaking()
    const client = new Fake()
    made.push(client)
    return client
  }
  const inUse = clientInUse<Fake>(make, ['readStream'])
  const read = () => inUse.read((client) => client.readStream())
  const fail = (): unknown => read().failed('a read', unavailable())
  return { make, made, inUse, read, fail }
}

test('a new client is made when reads have failed for a second, and not again within 5 s', () => {
  const { made, fail } = rig()
  vi.advanceTimersByTime(60_000)
  fail()
  vi.advanceTimersByTime(999)
  fail()
  expect(made).toHaveLength(1)
  vi.advanceTimersByTime(1)
  fail()
  expect(made).toHaveLength(2)
  for (let ms = 0; ms < 4_900; ms += 100) {
    fail()
    vi.advanceTimersByTime(100)
  }
  expect(made).toHaveLength(2)
  vi.advanceTimersByTime(100)
  fail()
  expect(made).toHaveLength(3)
})

test('a read that succeeds, or finds no stream, begins the count again; what other reads end with does not', () => {
  const { made, read, fail } = rig()
  vi.advanceTimersByTime(60_000)
  for (const answered of [
    () => read().succeeded(),
    () => read().failed('a read', new clients.StreamNotFoundError({} as never, 'orders')),
  ]) {
    fail()
    vi.advanceTimersByTime(900)
    answered()
    fail()
    vi.advanceTimersByTime(900)
    fail()
    expect(made).toHaveLength(1)
    answered()
  }
  fail()
  vi.advanceTimersByTime(1_000)
  read().failed('a read', new clients.CancelledError({} as never))
  expect(made).toHaveLength(1)
  fail()
  expect(made).toHaveLength(2)
})

test('what fails of a client that was replaced says nothing of the new one', () => {
  const { made, read, fail } = rig()
  vi.advanceTimersByTime(60_000)
  const old = [read(), read()]
  fail()
  vi.advanceTimersByTime(1_000)
  old[0]?.failed('a read', unavailable())
  expect(made).toHaveLength(2)
  vi.advanceTimersByTime(60_000)
  old[1]?.failed('a read', unavailable())
  expect(made).toHaveLength(2)
})

test('one that was replaced is disposed of when the last subscription and call of it have ended, and never before', async () => {
  const { made, inUse, fail } = rig()
  vi.advanceTimersByTime(60_000)
  let answer = (): void => {}
  const call = inUse.call(
    () =>
      new Promise<void>((resolve) => {
        answer = resolve
      }),
  )
  inUse.subscribe((client) => client.subscribeToAll())
  fail()
  vi.advanceTimersByTime(1_000)
  fail()
  const [first, second] = made
  expect(first?.disposed).not.toHaveBeenCalled()
  answer()
  await call
  expect(first?.disposed).not.toHaveBeenCalled()
  for (const closed of first?.closed ?? []) closed()
  expect(first?.disposed).toHaveBeenCalledOnce()
  expect(second?.disposed).not.toHaveBeenCalled()
})

test('a function that throws leaves the client as it is, says so, and is asked again', () => {
  let isBroken = false
  const { made, fail } = rig(() => {
    if (isBroken) throw new Error('no certificate')
  })
  vi.advanceTimersByTime(60_000)
  isBroken = true
  fail()
  vi.advanceTimersByTime(1_000)
  expect(fail()).toMatchObject({
    code: 'TIDEMARK_ESDB_READER_UNAVAILABLE',
    message: expect.stringContaining('client() threw: no certificate'),
  })
  expect(made[0]?.disposed).not.toHaveBeenCalled()
  isBroken = false
  fail()
  expect(made).toHaveLength(2)
})

test('a source, another one and checkpoints that are given the same function share a client', () => {
  const { make, made } = rig()
  esdbEvents({ client: make as never })
  esdbEvents({ client: make as never, stream: 'orders' })
  esdbCheckpoints({ client: make as never })
  expect(made).toHaveLength(1)
})

test('a function that makes no client, or one that cannot be disposed of, is refused at construction', () => {
  for (const make of [() => 'none', () => ({ ...new Fake(), dispose: undefined })]) {
    expect(() => esdbEvents({ client: make as never })).toThrow(InvalidOptionError)
  }
})
