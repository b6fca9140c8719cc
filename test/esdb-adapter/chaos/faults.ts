import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../core/model/random.ts'
import type { ErrorName } from '../../support/esdb-server/errors.ts'
import type { EsdbServer } from '../../support/esdb-server/server.ts'
import type { CallFilter, CallKind } from '../../support/esdb-server/steering.ts'

/** Errors that pass by themselves: wherever they strike, a daemon gets over them. */
const PASSING: readonly ErrorName[] = [
  'not-leader',
  'no-leader-info',
  'server-not-ready',
  'server-busy',
  'timeout',
  'deadline-exceeded',
  'cancelled',
  'unknown',
]

/** Errors that someone has to mend: they end what reads, but a subscription only ever says when to look. */
const LASTING: readonly ErrorName[] = [
  'access-denied',
  'unauthenticated',
  'stream-deleted',
  'invalid-position',
]

/** The longest that something lasts: longer than the daemon waits for an answer. */
const LONGEST_MS = 1_500

const SUBSCRIPTIONS: CallFilter = { kind: 'subscription' }
const READS: CallFilter = { kind: 'read' }

/**
 * What may come between a daemon and its server. Resolves, to what it was, when it is over.
 *
 * @param isAtRest - nothing is being read but the last event, by polls
 */
export type Strike = (isAtRest: boolean) => Promise<string>

/** Each kind of fault before one of them comes again, in a random order. */
export function faults(server: EsdbServer, random: Random): Strike {
  const leader = { host: '127.0.0.1', port: server.port }
  const pause = (): Promise<void> => sleep(random.below(LONGEST_MS))
  const among = dealer(random, [...PASSING])
  const passing = (): ErrorName => among()
  const any = dealer(random, [...PASSING, ...LASTING])

  /** Holds reads after some of their events, so that what follows strikes in the middle of them. */
  const inMidRead = async (isAtRest: boolean, strike: () => Promise<number>): Promise<string> => {
    const after = isAtRest ? 0 : random.below(30)
    await server.stall(READS, after)
    await sleep(random.below(300))
    const calls = await strike()
    await server.resume()
    return `${calls} calls, after ${after} events`
  }
  const kinds: Readonly<Record<string, (isAtRest: boolean) => Promise<unknown>>> = {
    'every connection cut': () => server.cutConnections(),
    'connections of subscriptions cut': () => server.cutConnections(SUBSCRIPTIONS),
    'connections cut in mid-read': (isAtRest) => inMidRead(isAtRest, () => server.cutConnections(READS)),
    'subscriptions end in silence': () => server.endCalls(SUBSCRIPTIONS),
    'reads end in silence': (isAtRest) => inMidRead(isAtRest, () => server.endCalls(READS)),
    'subscriptions dropped': async () => {
      const error = any()
      return `${error}: ${await server.failCalls(SUBSCRIPTIONS, error, leader)} calls`
    },
    'subscriptions refused': async () => {
      const error = any()
      await server.refuseCalls(SUBSCRIPTIONS, error, 1 + random.below(4), leader)
      await server.endCalls(SUBSCRIPTIONS)
      return error
    },
    'reads dropped': async (isAtRest) => {
      const error = passing()
      return `${error}: ${await inMidRead(isAtRest, () => server.failCalls(READS, error, leader))}`
    },
    'calls refused': async () => {
      const kind = random.pick<CallKind>(['read', 'append']) ?? 'read'
      const error = passing()
      await server.refuseCalls({ kind }, error, 1 + random.below(6), leader)
      return `${kind}: ${error}`
    },
    stall: async (isAtRest) => {
      const kind = random.pick<CallKind>(['read', 'subscription']) ?? 'read'
      await server.stall({ kind }, isAtRest ? 0 : random.below(30))
      await pause()
      await server.resume()
      return kind
    },
    delay: async () => {
      await server.delay(READS, 1 + random.below(10))
      await pause()
      await server.resume()
    },
    freeze: async () => {
      server.freeze()
      await pause()
      server.thaw()
    },
    down: async () => {
      await server.close()
      await pause()
      await server.open()
    },
    restart: () => server.restart({ keepLog: true }),
  }
  const next = dealer(random, Object.keys(kinds))
  return async (isAtRest) => {
    const kind = next()
    const detail = await kinds[kind]?.(isAtRest)
    return `${kind}${isAtRest ? ', at rest' : ''}${detail === undefined ? '' : ` (${detail})`}`
  }
}

/** Deals a shuffled deck, and then another one. */
function dealer<T>(random: Random, cards: readonly T[]): () => T {
  let deck: T[] = []
  return () => {
    if (deck.length === 0) deck = [...cards]
    const [card] = deck.splice(random.below(deck.length), 1)
    if (card === undefined) throw new RangeError('expected cards, found none')
    return card
  }
}
