import { EventEmitter, once } from 'node:events'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AlreadyMonitoredError, monitorSubscription } from '@tidemark/core'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { ClientSubscription, event, type TestEvent } from './client-subscription.ts'
import { rig, take } from './rig.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const events = [1n, 2n, 3n].map((position) => event(position))

describe('a wrapped subscription is the subscription', () => {
  test('the same object, of the same class, with nothing that can be enumerated added', () => {
    const { subscription, options } = rig()
    const bare = subscription()
    const keys = Object.keys(bare).sort()
    const wrapped = monitorSubscription(options).wrap(bare)
    expect(wrapped).toBe(bare)
    expect(Object.keys(wrapped).sort()).toEqual(keys)
  })

  test('nothing listens to it and nothing flows before the user does something', async () => {
    const { subscription, call, options } = rig()
    const bare = rig().subscription()
    const wrapped = monitorSubscription(options).wrap(subscription())
    call.send(...events)
    await turn()
    expect(wrapped.readableFlowing).toBeNull()
    for (const name of ['data', 'readable', 'end', 'error', 'close', 'caughtUp', 'fellBehind']) {
      expect(wrapped.listenerCount(name), name).toBe(bare.listenerCount(name))
    }
  })

  test('for await gets the very events, in order', async () => {
    const { subscription, call, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    call.send(...events)
    call.end()
    const seen: TestEvent[] = []
    for await (const each of wrapped) seen.push(each)
    expect(seen).toEqual(events)
    for (const [i, each] of seen.entries()) expect(each).toBe(events[i])
  })

  test('whatever is sent, in whatever portions, arrives as it does without', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.bigInt({ min: 0n, max: 50n }), { maxLength: 30 })),
        async (portions) => {
          const { subscription, call, options } = rig()
          const wrapped = monitorSubscription(options).wrap(subscription())
          const sending = (async () => {
            for (const portion of portions) {
              call.send(...portion.map((position) => event(position)))
              await turn()
            }
            call.end()
          })()
          const seen: bigint[] = []
          for await (const { position } of wrapped) seen.push(position)
          await sending
          expect(seen).toEqual(portions.flat())
        },
      ),
      { numRuns: 50 },
    )
  })

  test("the user's listeners for data, end and close are called, in flowing mode", async () => {
    const { subscription, call, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    const seen: unknown[] = []
    wrapped.on('data', (each) => seen.push(each)).on('end', () => seen.push('end'))
    call.send(...events)
    call.end()
    await once(wrapped, 'close')
    expect(seen).toEqual([...events, 'end'])
  })

  test('paused reading, pipe and pipeline work', async () => {
    const paused = rig()
    const reading = monitorSubscription(paused.options).wrap(paused.subscription())
    paused.call.send(...events)
    await once(reading, 'readable')
    expect(reading.read()).toBe(events[0])

    const piped = rig()
    const source = monitorSubscription(piped.options).wrap(piped.subscription())
    const written: unknown[] = []
    const sink = new Writable({
      objectMode: true,
      write: (each, _, done) => {
        written.push(each)
        done()
      },
    })
    piped.call.send(...events)
    piped.call.end()
    await pipeline(source, sink)
    expect(written).toEqual(events)
  })

  test('a slow consumer holds back the server: no more than the buffers are taken', async () => {
    const bare = rig()
    const unwrapped = bare.subscription()
    const { subscription, call, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    for (const each of [bare.call, call])
      each.send(...Array.from({ length: 1_000 }, (_, i) => event(BigInt(i))))
    await take(unwrapped[Symbol.asyncIterator](), 1)
    await take(wrapped[Symbol.asyncIterator](), 1)
    await turn()
    expect(call.readableLength).toBe(bare.call.readableLength)
    expect(call.readableLength).toBeGreaterThan(900)
  })

  test('an error reaches for await, and an error listener', async () => {
    const iterated = rig()
    const wrapped = monitorSubscription(iterated.options).wrap(iterated.subscription())
    const failure = new Error('unavailable')
    const loop = (async () => {
      for await (const _ of wrapped);
    })()
    await turn()
    iterated.call.fail(failure)
    await expect(loop).rejects.toBe(failure)

    const listened = rig()
    const other = monitorSubscription(listened.options).wrap(listened.subscription())
    const heard = vi.fn()
    other.on('error', heard)
    await turn()
    listened.call.fail(failure)
    expect(heard).toHaveBeenCalledExactlyOnceWith(failure)
  })

  test('an error that nobody listens for is thrown, as without', async () => {
    const { subscription, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    expect(() => wrapped.emit('error', new Error('unheard'))).toThrow('unheard')
  })

  test('unsubscribe works, on the private fields of its class', async () => {
    const { subscription, call, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    await wrapped.unsubscribe()
    expect(call.isOpen).toBe(false)
    expect(call.cancelled).toBe(1)
  })
})

describe('a consumer that leaves ends the call to the server', () => {
  test('a bare break leaves it open, without us', async () => {
    const { subscription, call } = rig()
    call.send(...events)
    for await (const _ of subscription()) break
    await turn()
    await turn()
    expect(call.isOpen).toBe(true)
  })

  test('break', async () => {
    const { subscription, call, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    call.send(...events)
    for await (const _ of wrapped) break
    await vi.waitFor(() => expect(call.cancelled).toBe(1))
    expect(wrapped.destroyed).toBe(true)
  })

  test('a body that throws, and its error is the one that comes out', async () => {
    const { subscription, call, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    call.send(...events)
    const loop = (async () => {
      for await (const _ of wrapped) throw new Error('cannot be mailed')
    })()
    await expect(loop).rejects.toThrow('cannot be mailed')
    await vi.waitFor(() => expect(call.cancelled).toBe(1))
  })

  test('destroy, and a pipeline that fails', async () => {
    const destroyed = rig()
    monitorSubscription(destroyed.options).wrap(destroyed.subscription()).destroy()
    await vi.waitFor(() => expect(destroyed.call.cancelled).toBe(1))

    const piped = rig()
    const wrapped = monitorSubscription(piped.options).wrap(piped.subscription())
    piped.call.send(...events)
    const failing = new Writable({ objectMode: true, write: (_, __, done) => done(new Error('full')) })
    await expect(pipeline(wrapped, failing)).rejects.toThrow('full')
    await vi.waitFor(() => expect(piped.call.cancelled).toBe(1))
  })

  test('once, where the user has unsubscribed already', async () => {
    const { subscription, call, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    call.send(...events)
    for await (const _ of wrapped) {
      await wrapped.unsubscribe()
      break
    }
    await turn()
    await turn()
    expect(call.cancelled).toBe(1)
  })

  test('a call that never came about is a drop, and no unsubscribe that failed', async () => {
    const { clock, options, logger, call } = rig()
    const failure = new Error('Failed to discover after 10 attempts.')
    class Unreached extends ClientSubscription {
      override async unsubscribe(): Promise<void> {
        throw failure
      }
    }
    const wrapped = monitorSubscription(options).wrap(new Unreached(call))
    const waiting = wrapped[Symbol.asyncIterator]().next()
    wrapped.emit('error', failure)
    await expect(waiting).rejects.toBe(failure)
    await clock.settle()
    expect(logger.lines).toEqual([expect.stringMatching(/^error .*Failed to discover/)])
  })

  test('an unsubscribe that fails is logged, and does not hide what the body threw', async () => {
    const { subscription, call, options, logger } = rig()
    const bare = subscription()
    bare.unsubscribe = () => Promise.reject(new Error('no channel'))
    const wrapped = monitorSubscription(options).wrap(bare)
    call.send(...events)
    const loop = (async () => {
      for await (const _ of wrapped) throw new Error('cannot be mailed')
    })()
    await expect(loop).rejects.toThrow('cannot be mailed')
    await vi.waitFor(() => expect(logger.lines.join()).toContain('unsubscribe() failed'))
  })
})

describe('any other async iterable', () => {
  async function* numbered(count: bigint, onEnd = () => {}) {
    try {
      for (let position = 1n; position <= count; position++) yield event(position)
    } finally {
      onEnd()
    }
  }

  test('is the same object, yields the same, and its finally runs at a break', async () => {
    const { options } = rig()
    const ended = vi.fn()
    const bare = numbered(5n, ended)
    const wrapped = monitorSubscription(options).wrap(bare)
    expect(wrapped).toBe(bare)
    const seen: bigint[] = []
    for await (const { position } of wrapped) {
      seen.push(position)
      if (position === 3n) break
    }
    expect(seen).toEqual([1n, 2n, 3n])
    expect(ended).toHaveBeenCalledOnce()
  })

  test('its own error comes out', async () => {
    const { options } = rig()
    const failing = {
      async *[Symbol.asyncIterator]() {
        yield event(1n)
        throw new Error('gone')
      },
    }
    const loop = (async () => {
      for await (const _ of monitorSubscription(options).wrap(failing));
    })()
    await expect(loop).rejects.toThrow('gone')
  })

  test('may be an emitter that is no stream, as a change stream of MongoDB is', async () => {
    const { options, source } = rig({ from: 0n })
    source.head = 3n
    class ChangeStream extends EventEmitter {
      async *[Symbol.asyncIterator]() {
        yield* numbered(3n)
      }
    }
    const monitor = monitorSubscription(options)
    for await (const { position } of monitor.wrap(new ChangeStream())) if (position === 3n) break
    expect(monitor.status()).toMatchObject({ state: 'ended', deliveredEvents: 3, position: 2n })
  })

  test('one that is never iterated is not monitored: no timer, no gauge', async () => {
    const { options, clock, metrics } = rig()
    monitorSubscription(options).wrap(numbered(5n))
    await clock.settle()
    expect(clock.sleeping).toBe(0)
    expect(metrics.observers).toBe(0)
  })
})

describe('wrapping twice', () => {
  test('is an error, by whichever way', () => {
    const { subscription, options } = rig()
    const wrapped = monitorSubscription(options).wrap(subscription())
    expect(() => monitorSubscription(options).wrap(wrapped)).toThrow(AlreadyMonitoredError)
    expect(() => monitorSubscription(options).wrap(wrapped)).toThrow(/wrap it once/)
  })

  test('a monitor is for one subscription', () => {
    const { subscription, options } = rig()
    const monitor = monitorSubscription(options)
    monitor.wrap(subscription())
    expect(() => monitor.wrap(subscription())).toThrow(/make a new one/)
  })
})
