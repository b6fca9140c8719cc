import { type EventSource, IncarnationChangedError, StoreRewoundError } from '@tidemark/core'
import {
  type CheckpointStoreFixture,
  type EventSourceFixture,
  type InMemoryEvent,
  type InMemoryEvents,
  inMemoryCheckpoints,
  inMemoryEvents,
} from '@tidemark/core/testing'
import { DENSE_SAMPLES } from './samples.ts'

export type WholeEvent = InMemoryEvent<string>
export type WholeSource = EventSource<bigint, WholeEvent> &
  Required<Pick<EventSource<bigint, WholeEvent>, 'wakeUps'>>
export type WholeStore = Omit<EventSourceFixture<bigint, WholeEvent>, 'open'> & {
  readonly open: () => WholeSource
}

interface State {
  events: InMemoryEvents<string>
  incarnation: string
  deletedUpTo: bigint
  readonly appendedAtMs: Map<string, number>
  /** Resolves when the store answers again. */
  stalled: Promise<void>
}

/** The in-memory source with everything that a store can have, so that every case of the suite is run by something. */
export async function wholeStore(): Promise<WholeStore> {
  const first = inMemoryEvents<string>({ name: 'whole' })
  const state: State = {
    events: first,
    incarnation: await incarnationOf(first),
    deletedUpTo: 0n,
    appendedAtMs: new Map(),
    stalled: Promise.resolve(),
  }
  return {
    open: () => wholeSource(state),
    samplePositions: DENSE_SAMPLES,
    append: async (events) => {
      for (const { id, type } of events) {
        state.appendedAtMs.set(id, Date.now())
        state.events.append(type, id)
      }
    },
    idOf: ({ data }) => data,
    begin: async () => {
      const transaction = state.events.begin()
      return {
        append: async ({ id, type }) => void transaction.append(type, id),
        commit: async () => transaction.commit(),
        rollback: async () => transaction.rollback(),
      }
    },
    deleteOldest: async (count) => {
      const left = (await visible(state)).filter(({ position }) => position > state.deletedUpTo)
      state.deletedUpTo = left[count - 1]?.position ?? state.deletedUpTo
    },
    stall: async () => {
      let goOn = (): void => {}
      state.stalled = new Promise((resolve) => {
        goOn = resolve
      })
      return async () => goOn()
    },
    rewind: async () => {
      const kept = (await visible(state)).slice(0, -1)
      state.events = inMemoryEvents<string>({ name: 'whole' })
      for (const { type, data } of kept) state.events.append(type, data)
      state.incarnation = await incarnationOf(state.events)
    },
  }
}

function wholeSource(state: State): WholeSource {
  const { name, order, filtersByType } = state.events
  const sameRun = (expected: string): void => {
    if (expected !== state.incarnation) throw new IncarnationChangedError(expected, state.incarnation)
  }
  return {
    name,
    order,
    filtersByType,
    open: async (request) => {
      await answered(state, request.signal)
      return await state.events.open(request)
    },
    readHighWater: async (request) => {
      await answered(state, request.signal)
      if (request.previous) sameRun(request.previous.incarnation)
      const reading = await state.events.readHighWater(request)
      for (const { position } of request.stored ?? []) {
        if (position === undefined || position <= (reading.head ?? 0n)) continue
        throw new StoreRewoundError(`a checkpoint stands at ${position}, the store at ${reading.head}`)
      }
      return reading
    },
    load: async (request) => {
      await answered(state, request.signal)
      sameRun(request.evidence.incarnation)
      const all = await state.events.load({ ...request, limit: Number.MAX_SAFE_INTEGER })
      const events = all.events.filter(({ position }) => position > state.deletedUpTo).slice(0, request.limit)
      const newest = events.at(-1)
      return {
        events,
        positions: events.map(({ position }) => position),
        types: events.map(({ type }) => type),
        appendTimesMs: events.map(({ data }) => state.appendedAtMs.get(data) ?? Date.now()),
        through: newest && events.length === request.limit ? newest.position : request.upTo,
      }
    },
    wakeUps: (signal) => {
      if (!state.events.wakeUps) throw new TypeError('events in memory wake up')
      return state.events.wakeUps(signal)
    },
    isTransient: () => false,
  }
}

/** Waits for the store, until `signal` fires. */
async function answered({ stalled }: Pick<State, 'stalled'>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  let stop = (): void => {}
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  signal.addEventListener('abort', stop)
  try {
    await Promise.race([stalled, stopped])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

async function incarnationOf(events: InMemoryEvents<string>): Promise<string> {
  const reading = await events.open({ signal: new AbortController().signal })
  return reading.incarnation
}

async function visible({ events, incarnation }: State): Promise<readonly WholeEvent[]> {
  const page = await events.load({
    after: undefined,
    upTo: 2n ** 63n,
    limit: Number.MAX_SAFE_INTEGER,
    eventTypes: undefined,
    evidence: { incarnation, settled: undefined, logPosition: undefined },
    signal: new AbortController().signal,
  })
  return page.events
}

/** What was written in one transaction. */
export type Writes = string[]

/** The in-memory checkpoints with a transaction: what is written is kept when the checkpoint has moved. They can stall. */
export async function wholeCheckpoints(): Promise<CheckpointStoreFixture<Writes>> {
  const checkpoints = inMemoryCheckpoints<Writes>({ tx: [] })
  const { control, deadLetters, lateEvents, lostEvents, tenures, leases, failures } = checkpoints
  if (control === undefined) throw new TypeError('checkpoints in memory follow operators')
  if (deadLetters === undefined) throw new TypeError('checkpoints in memory have dead letters')
  if (lateEvents === undefined) throw new TypeError('checkpoints in memory have late events')
  if (lostEvents === undefined) throw new TypeError('checkpoints in memory have lost events')
  if (tenures === undefined) throw new TypeError('checkpoints in memory keep tenures')
  if (leases === undefined) throw new TypeError('checkpoints in memory give leases')
  if (failures === undefined) throw new TypeError('checkpoints in memory keep failures')
  const committed: string[] = []
  const state = { stalled: Promise.resolve() }
  const after = async <T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> => {
    await answered(state, signal)
    return await call()
  }
  return {
    open: () => ({
      name: 'whole',
      isTransactional: true,
      open: (unit, first, signal) => after(signal, () => checkpoints.open(unit, first, signal)),
      read: (unit, signal) => after(signal, () => checkpoints.read(unit, signal)),
      list: (filter, signal) => after(signal, () => checkpoints.list(filter, signal)),
      advance: async (request, work) => {
        const writes: Writes = []
        const advanced = await checkpoints.advance(request, (_, locked) => work(writes, locked))
        committed.push(...writes)
        return advanced
      },
      progress: (source, signal) => after(signal, () => checkpoints.progress(source, signal)),
      progressOf: (projection, version, signal) =>
        after(signal, async () => {
          const units = await control.units({ projection }, signal)
          return units.filter(({ unit, role }) =>
            version === undefined ? role === 'live' : unit.version === version,
          )
        }),
      settled: {
        save: (source, evidence, signal) =>
          after(signal, async () => checkpoints.settled?.save(source, evidence, signal)),
      },
      failures: {
        tell: (failure, signal) => after(signal, () => failures.tell(failure, signal)),
        over: (unit, node, signal) => after(signal, () => failures.over(unit, node, signal)),
        list: (filter, signal) => after(signal, () => failures.list(filter, signal)),
      },
      skips: {
        record: (source, runs, signal) =>
          after(signal, async () => checkpoints.skips?.record(source, runs, signal)),
        list: (filter, limit, signal) =>
          after(signal, async () => (await checkpoints.skips?.list(filter, limit, signal)) ?? []),
      },
      lateEvents: {
        watched: (source, page, signal) => after(signal, () => lateEvents.watched(source, page, signal)),
        record: (source, as, events, signal) =>
          after(signal, () => lateEvents.record(source, as, events, signal)),
        open: (source, units, found, signal) =>
          after(signal, () => lateEvents.open(source, units, found, signal)),
        counts: (source, signal) => after(signal, () => lateEvents.counts(source, signal)),
        due: (unit, source, of, signal) => after(signal, () => lateEvents.due(unit, source, of, signal)),
        close: (tx, ...rest) => lateEvents.close(tx, ...rest),
        ofOthers: (tx, ...rest) => lateEvents.ofOthers(tx, ...rest),
        failed: (unit, source, positions, error, signal) =>
          after(signal, () => lateEvents.failed(unit, source, positions, error, signal)),
        ask: (range, decision, signal) => after(signal, () => lateEvents.ask(range, decision, signal)),
        discard: (range, decision, signal) =>
          after(signal, () => lateEvents.discard(range, decision, signal)),
        list: (filter, limit, signal) => after(signal, () => lateEvents.list(filter, limit, signal)),
      },
      lostEvents: {
        record: (source, losses, signal) => after(signal, () => lostEvents.record(source, losses, signal)),
        claim: (source, due, signal) => after(signal, () => lostEvents.claim(source, due, signal)),
        told: (source, losses, signal) => after(signal, () => lostEvents.told(source, losses, signal)),
        totals: (source, signal) => after(signal, () => lostEvents.totals(source, signal)),
        list: (source, limit, signal) => after(signal, () => lostEvents.list(source, limit, signal)),
        keepPassed: (source, consumer, passed, signal) =>
          after(signal, () => lostEvents.keepPassed(source, consumer, passed, signal)),
        passed: (source, consumer, signal) =>
          after(signal, () => lostEvents.passed(source, consumer, signal)),
      },
      control: {
        units: (filter, signal) => after(signal, () => control.units(filter, signal)),
        change: (unit, decide, limits) => after(limits.signal, () => control.change(unit, decide, limits)),
        fulfil: async (request, work) => {
          const writes: Writes = []
          const entry = await control.fulfil(request, (_, ...found) => work(writes, ...found))
          committed.push(...writes)
          return entry
        },
        reshard: (version, decide, limits) =>
          after(limits.signal, async () => (await control.reshard?.(version, decide, limits)) ?? []),
        holdBounds: (version, forMs, signal) =>
          after(signal, async () => await control.holdBounds?.(version, forMs, signal)),
        audit: (filter, signal) => after(signal, () => control.audit(filter, signal)),
      },
      deadLetters: {
        bury: (tx, unit, letter) => deadLetters.bury(tx, unit, letter),
        list: (filter, page, signal) => after(signal, () => deadLetters.list(filter, page, signal)),
        openIds: (filter, page, signal) => after(signal, () => deadLetters.openIds(filter, page, signal)),
        find: (id, signal) => after(signal, () => deadLetters.find(id, signal)),
        close: (ids, closing, signal) => after(signal, () => deadLetters.close(ids, closing, signal)),
        counts: (signal) => after(signal, () => deadLetters.counts(signal)),
        askRetry: (choice, asker, signal) => after(signal, () => deadLetters.askRetry(choice, asker, signal)),
        retryStates: (ids, signal) => after(signal, () => deadLetters.retryStates(ids, signal)),
        nextRetry: (unit, signal) => after(signal, () => deadLetters.nextRetry(unit, signal)),
        handOver: (tx, from, to) => deadLetters.handOver(tx, from, to),
        parkedKeys: (tx, unit, keys) => deadLetters.parkedKeys(tx, unit, keys),
        takeRetry: (tx, unit, id) => deadLetters.takeRetry(tx, unit, id),
        retryFailed: (tx, unit, id, error) => deadLetters.retryFailed(tx, unit, id, error),
      },
      leases,
      tenures: {
        begin: (request, decide) => after(request.signal, () => tenures.begin(request, decide)),
        end: (unit, session, signal) => after(signal, () => tenures.end(unit, session, signal)),
      },
      sharesLogWith: (incarnation, signal) =>
        after(signal, () => checkpoints.sharesLogWith(incarnation, signal)),
      isTransient: (error) => checkpoints.isTransient(error),
    }),
    write: async (tx, text) => void tx.push(text),
    written: async () => [...committed],
    stall: async () => {
      let goOn = (): void => {}
      state.stalled = new Promise((resolve) => {
        goOn = resolve
      })
      return async () => goOn()
    },
  }
}
