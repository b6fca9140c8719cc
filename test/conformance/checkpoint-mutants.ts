import { type CheckpointStore, hasCode, type SkippedRun, type Unit } from '@tidemark/core'
import {
  ALL_SLOTS,
  type AuditEntry,
  type Control,
  type DeadLetters,
  type Failures,
  type LateEvents,
  type Leases,
  type LostEvents,
  type NodeControl,
  type NodeReport,
  type SettledMemory,
  type SkipLedger,
  type Tenures,
  type UnitFailure,
  unitKey,
  unitName,
  wholeUnit,
} from '@tidemark/core/adapter'
import { type CheckpointStoreFixture, inMemoryCheckpoints } from '@tidemark/core/testing'
import type { Mutant } from './mutant.ts'
import type { Writes } from './whole-store.ts'

type Store = CheckpointStore<Writes>
type Fixture = CheckpointStoreFixture<Writes>
type Advance = Parameters<Store['advance']>
type Work = Advance[1]

const opens =
  (alter: (store: Store) => Partial<Store>) =>
  (fixture: Fixture): Fixture => ({
    ...fixture,
    open: () => {
      const store = fixture.open()
      return { ...store, ...alter(store) }
    },
  })

const asks = (alter: (request: Advance[0]) => Partial<Advance[0]>) =>
  opens((store) => ({ advance: (request, work) => store.advance({ ...request, ...alter(request) }, work) }))

const works = (alter: (work: Work) => Work) =>
  opens((store) => ({ advance: (request, work) => store.advance(request, alter(work)) }))

const alteredLeases = (store: Store, alter: (own: Leases) => Partial<Leases>): Partial<Store> => {
  const { leases: own } = store
  if (own === undefined) return {}
  return {
    leases: {
      renew: (request) => own.renew(request),
      claim: (request) => own.claim(request),
      release: (request) => own.release(request),
      leave: (...args) => own.leave(...args),
      ...(own.presence ? { presence: own.presence.bind(own) } : {}),
      control: own.control,
      ...alter(own),
    },
  }
}

const leases = (alter: (own: Leases) => Partial<Leases>) => opens((store) => alteredLeases(store, alter))

const nodeControls = (alter: (own: NodeControl) => Partial<NodeControl>) =>
  leases(({ control: own }) => ({
    control: {
      list: (...args) => own.list(...args),
      decide: (...args) => own.decide(...args),
      audit: (...args) => own.audit(...args),
      ...alter(own),
    },
  }))

const READER: NodeReport = {
  id: 'reader',
  name: 'reader',
  source: 'events',
  capacity: 1,
  units: [],
  unable: [],
  isLeaving: false,
}

/** Each call waits for the one before, of whatever owner. */
const queued =
  (which: (keyof Store)[]) =>
  (fixture: Fixture): Fixture => {
    let last: Promise<unknown> = Promise.resolve()
    const next = <T>(call: () => Promise<T>): Promise<T> => {
      const result = last.then(call)
      last = result.catch(() => {})
      return result
    }
    return opens((store) => ({
      ...(which.includes('advance')
        ? { advance: (...args: Advance) => next(() => store.advance(...args)) }
        : {}),
      ...(which.includes('read')
        ? { read: (...args: Parameters<Store['read']>) => next(() => store.read(...args)) }
        : {}),
    }))(fixture)
  }

/** The checkpoints of each owner are its own. */
const notShared = (fixture: Fixture): Fixture => {
  const { write, written, open } = fixture
  return {
    ...(write ? { write } : {}),
    ...(written ? { written } : {}),
    open: () => {
      const shared = open()
      const own = inMemoryCheckpoints()
      return {
        ...shared,
        open: (...args) => own.open(...args),
        read: (...args) => own.read(...args),
        ...(own.tenures ? { tenures: own.tenures } : {}),
        ...(own.leases ? { leases: own.leases } : {}),
        advance: (request, work) =>
          own.advance(request, async () => {
            // What it writes is kept by the shared one.
            const unit = wholeUnit(crypto.randomUUID())
            await shared.open(unit, { source: request.source, head: undefined }, request.signal)
            const { tenure: _, ...anothers } = request
            await shared.advance({ ...anothers, unit, from: undefined }, work)
          }),
      }
    },
  }
}

/** Writes at once, whatever becomes of the checkpoint. */
const writesAtOnce = (fixture: Fixture): Fixture => {
  const texts: string[] = []
  return { ...fixture, write: async (_, text) => void texts.push(text), written: async () => [...texts] }
}

const tidy = (unit: Unit): Unit => ({ ...unit, projection: unit.projection.trim().toLowerCase() })

const saves = (alter: (save: SettledMemory['save']) => SettledMemory['save']) =>
  opens(({ settled }) => (settled ? { settled: { save: alter(settled.save) } } : {}))

const records = (alter: (record: SkipLedger['record']) => SkipLedger['record']) =>
  opens(({ skips }) =>
    skips
      ? {
          skips: {
            record: alter((...args) => skips.record(...args)),
            list: (...args) => skips.list(...args),
          },
        }
      : {},
  )

const controls = (alter: (control: Control<Writes>) => Partial<Control<Writes>>) =>
  opens(({ control }) => (control ? { control: { ...control, ...alter(control) } } : {}))

/** An operation is decided on what was read before, not on what it changes. */
const decidesTooEarly = controls((control) => ({
  change: async (unit, decide, limits) => {
    const [found] = await control.units({ projection: unit.projection }, limits.signal)
    const change = decide(found)
    return await control.change(unit, () => change, limits)
  },
}))
const letters = (alter: (deadLetters: DeadLetters<Writes>) => Partial<DeadLetters<Writes>>) =>
  opens(({ deadLetters }) => (deadLetters ? { deadLetters: { ...deadLetters, ...alter(deadLetters) } } : {}))

const late = (alter: (lateEvents: LateEvents<Writes>) => Partial<LateEvents<Writes>>) =>
  opens(({ lateEvents }) => (lateEvents ? { lateEvents: { ...lateEvents, ...alter(lateEvents) } } : {}))

const loses = (alter: (lostEvents: LostEvents) => Partial<LostEvents>) =>
  opens(({ lostEvents }) => (lostEvents ? { lostEvents: { ...lostEvents, ...alter(lostEvents) } } : {}))

const fails = (alter: (failures: Failures, store: Store) => Partial<Failures>) =>
  opens((store) =>
    store.failures ? { failures: { ...store.failures, ...alter(store.failures, store) } } : {},
  )

/** What was told last of a unit is listed again and again, where its checkpoint stands as `isThere` says. */
const remembersFailures =
  (isThere: (store: Store, told: UnitFailure) => Promise<boolean>) =>
  (fixture: Fixture): Fixture => {
    const told = new Map<string, UnitFailure>()
    return fails((own, store) => ({
      tell: async (failure, signal) => {
        await own.tell(failure, signal)
        for (const each of await own.list({}, signal)) told.set(unitKey(each.unit), each)
      },
      list: async (filter, signal) => {
        const listed = await own.list(filter, signal)
        const isListed = new Set(listed.map(({ unit }) => unitKey(unit)))
        const others = [...told.values()].filter(({ unit }) => !isListed.has(unitKey(unit)))
        const there = await Promise.all(others.map((each) => isThere(store, each)))
        return [...listed, ...others.filter((_, n) => there[n])]
      },
    }))(fixture)
  }

const begins = (alter: (tenures: Tenures, store: CheckpointStore<Writes>) => Partial<Tenures>) =>
  opens((store) => (store.tenures ? { tenures: { ...store.tenures, ...alter(store.tenures, store) } } : {}))

/** A version, or a range of slots, is not looked at. */
const knowsUnitBy = (key: (unit: Unit) => Unit) =>
  opens((store) => ({
    open: (unit, first, signal) => store.open(key(unit), first, signal),
    read: (unit, signal) => store.read(key(unit), signal),
    advance: (request, work) => store.advance({ ...request, unit: key(request.unit) }, work),
  }))

/** As if it were stored in the shards that it is to be in. */
const opensAmongOthers = (stored: RegExp) =>
  opens((store) => ({
    open: async (...args) => {
      try {
        return await store.open(...args)
      } catch (error) {
        if (!hasCode(error, 'TIDEMARK_SHARDS_STORED') || !stored.test(error.message)) throw error
        return { position: undefined, skipped: {}, role: 'live' }
      }
    },
  }))

type ProgressOf = NonNullable<Store['progressOf']>
const tells = (alter: (progressOf: ProgressOf) => ProgressOf) =>
  opens(({ progressOf }) => (progressOf ? { progressOf: alter(progressOf) } : {}))

const TOLD_RULE =
  'what the store tells of a version alone, if it does, is what is stored of it, and makes no checkpoint'
const PASSED_RULE =
  'what the handler of a consumer has passed is kept as it was said last, for each source and consumer'

const SHARDS_WITH_FIRST_RULE =
  'what is asked of the first shard changes the others with it, all or none, and waits for one that is at work no longer than was said'

const never = (): AbortSignal => new AbortController().signal

export const CHECKPOINT_MUTANTS: readonly Mutant<Fixture>[] = [
  {
    name: 'prepare makes everything anew',
    breaks: (fixture) => {
      let store = inMemoryCheckpoints()
      return opens(() => ({
        prepare: async () => {
          store = inMemoryCheckpoints()
        },
        open: (...args) => store.open(...args),
        read: (...args) => store.read(...args),
        advance: (request, work) => store.advance(request, () => work([])),
      }))(fixture)
    },
    caughtBy: 'prepare may run again and from several processes at once, and leaves checkpoints as they are',
    says: /the checkpoint after prepare ran again; found undefined/,
  },
  {
    name: 'a new projection starts at 0',
    breaks: opens((store) => ({
      open: async (...args) => {
        const checkpoint = await store.open(...args)
        return { ...checkpoint, position: checkpoint.position ?? '0' }
      },
    })),
    caughtBy: 'a projection that was never read has processed and skipped nothing, whoever reads it first',
    says: /never read; found '0'/,
  },
  {
    name: 'each owner has checkpoints of its own',
    breaks: notShared,
    caughtBy: 'a checkpoint that was moved stands there for every owner, and moves on from there',
    says: /the checkpoint, for another owner; found undefined/,
  },
  {
    name: 'the work is not waited for',
    breaks: works((work) => async (tx) => void work(tx)),
    caughtBy: 'the work is done once, and is over when advance resolves',
    says: /found \[ 'begun' \]/,
  },
  {
    name: 'the work is done twice',
    breaks: works((work) => async (tx) => {
      await work(tx)
      await work(tx)
    }),
    caughtBy: 'the work is done once, and is over when advance resolves',
    says: /found \[ 'begun', 'over', 'begun', 'over' \]/,
  },
  {
    name: 'the error of the work is wrapped',
    breaks: opens((store) => ({
      advance: (request, work) =>
        store.advance(request, work).catch((cause) => {
          throw new Error('advance failed', { cause })
        }),
    })),
    caughtBy: 'when the work fails the checkpoint stays, and its error comes out as it is',
    says: /the very error of the work/,
  },
  {
    name: 'the checkpoint moves before the work',
    breaks: opens((store) => ({
      advance: async (request, work) => {
        const advanced = await store.advance(request, async () => {})
        await work([])
        return advanced
      },
    })),
    caughtBy: 'when the work fails the checkpoint stays, and its error comes out as it is',
    says: /the checkpoint after work that failed; found '9'/,
  },
  {
    name: 'what the work writes stays when the work fails',
    breaks: writesAtOnce,
    caughtBy: 'what the work writes is there with the checkpoint, and gone without it',
    says: /after work that failed; found \[ 'kept', 'lost' \]/,
  },
  {
    name: 'what the work writes is visible at once',
    breaks: writesAtOnce,
    caughtBy: 'what the work writes cannot be seen before the checkpoint has moved',
    says: /while the work goes on; found \[ 'together' \]/,
  },
  {
    name: 'what the work has written stays when its signal fires',
    breaks: writesAtOnce,
    caughtBy:
      'what the work writes once its signal has fired is never there, and the store says so (isTransactional)',
    says: /of an advance that was given up; found \[ 'before', 'after' \]/,
  },
  {
    name: 'a store with transactions does not say so',
    breaks: (fixture) => ({
      ...fixture,
      open: () => {
        const { isTransactional: _, ...store } = fixture.open()
        return store
      },
    }),
    caughtBy:
      'what the work writes once its signal has fired is never there, and the store says so (isTransactional)',
    says: /isTransactional; found undefined/,
  },
  {
    name: 'a signal that has fired is not looked at',
    breaks: asks(({ signal }) => (signal.aborted ? { signal: never() } : {})),
    caughtBy: 'an advance whose signal has fired does no work and moves nothing',
    says: /it should reject/,
  },
  {
    name: 'every advance listens to its signal for ever',
    breaks: asks(({ signal }) => {
      signal.addEventListener('abort', () => {})
      return {}
    }),
    caughtBy: 'an advance leaves nothing behind on a signal that outlives it',
    says: /how many listeners are left on the signal; found 2/,
  },
  {
    name: 'the work is waited for whatever the signal says',
    breaks: asks(() => ({ signal: never() })),
    caughtBy:
      'an advance whose signal fires does not wait for its work, and what the work still does moves nothing',
    says: /nothing happened within/,
    hangs: true,
  },
  {
    name: 'work that was given up still moves the checkpoint',
    breaks: opens((store) => ({
      advance: (request, work) =>
        Promise.race([
          new Promise<never>((_, reject) => {
            request.signal.addEventListener('abort', () => reject(request.signal.reason))
          }),
          store.advance({ ...request, signal: never() }, work),
        ]),
    })),
    caughtBy:
      'an advance whose signal fires does not wait for its work, and what the work still does moves nothing',
    says: /after an advance that was given up; found '3'/,
  },
  {
    name: 'the last one to write wins',
    breaks: opens((store) => ({
      advance: async (request, work) => {
        const { position } = { ...(await store.read(request.unit, request.signal)) }
        return await store.advance({ ...request, from: position }, work)
      },
    })),
    caughtBy: 'a checkpoint that another owner has moved is not moved from where it was',
    says: /an advance from where it was first: it should reject/,
  },
  {
    name: 'a conflict is an error like any other',
    breaks: opens((store) => ({
      advance: (request, work) =>
        store.advance(request, work).catch((error) => {
          throw new Error(String(error))
        }),
    })),
    caughtBy: 'of owners that move a checkpoint at the same time one does, and the others meet a conflict',
    says: /the codes of what the others met/,
  },
  {
    name: 'a checkpoint is compared only when the work is done',
    breaks: opens((store) => ({
      advance: async (request, work) => {
        const writes: Writes = []
        await work(writes)
        return await store.advance(request, async (tx) => void tx.push(...writes))
      },
    })),
    caughtBy: 'an owner that is too late does no work',
    says: /whether the late owner has done the work; found true/,
  },
  {
    name: 'a second owner waits for the first',
    breaks: queued(['advance']),
    caughtBy: 'while one owner works another is turned away at once, without work',
    says: /an advance while another owner works: nothing happened within/,
    hangs: true,
  },
  {
    name: 'a reader waits for the owner that works',
    breaks: queued(['advance', 'read']),
    caughtBy: 'a checkpoint can be read while its owner works',
    says: /reading a checkpoint: nothing happened within/,
    hangs: true,
  },
  {
    name: 'one projection works at a time',
    breaks: queued(['advance']),
    caughtBy: 'projections advance at the same time, and do not wait for each other',
    says: /an advance while another projection works: nothing happened within/,
    hangs: true,
  },
  {
    name: 'positions are kept as numbers',
    breaks: opens((store) => ({
      read: async (unit, signal) => {
        const stored = await store.read(unit, signal)
        return stored?.position === undefined
          ? stored
          : { ...stored, position: String(Number(stored.position)) }
      },
    })),
    caughtBy: 'a position is kept as the text that it is',
    says: /found '7', expected '007'/,
  },
  {
    name: 'positions are compared as numbers',
    breaks: asks(({ from }) => ({ from: from === undefined ? undefined : String(Number(from)) })),
    caughtBy: 'positions are compared as texts, not as numbers',
    says: /an advance from "01", which is not "1": it should reject/,
  },
  {
    name: 'names of projections are trimmed and lower-cased',
    breaks: opens((store) => ({
      open: (unit, first, signal) => store.open(tidy(unit), first, signal),
      read: (unit, signal) => store.read(tidy(unit), signal),
      advance: (request, work) => store.advance({ ...request, unit: tidy(request.unit) }, work),
    })),
    caughtBy: 'every name is a projection of its own, whatever characters it has',
    says: /found|expected/,
  },
  {
    name: 'a source is found by the beginning of its name',
    breaks: opens((store) => ({
      progress: async (source, signal) => [
        ...(await store.progress(source, signal)),
        ...(await store.progress(`${source}-v2`, signal)),
      ],
    })),
    caughtBy: 'every name is a source of its own, whatever characters it has',
    says: /the projections of the source "orders"/,
  },
  {
    name: 'skips are said to be counted, and are not',
    breaks: opens((store) => ({ ...store, skips: undefined }) as unknown as Store),
    caughtBy: 'the store has the optional parts of the capabilities that are named, and no others',
    says: /whether the store has `skips` \(counts_skips\); found false/,
  },
  {
    name: 'a read makes the checkpoint that it does not find',
    breaks: opens((store) => ({
      read: async (unit, signal) => {
        await store.open(unit, { source: 'events', head: undefined }, signal)
        return await store.read(unit, signal)
      },
    })),
    caughtBy: 'reading and listing make no checkpoint',
    says: /what the first read of a new unit finds; found \{/,
  },
  {
    name: 'a version of a projection has the checkpoint of the one before',
    breaks: knowsUnitBy((unit) => ({ ...unit, version: 1 })),
    caughtBy: 'versions and shards of one projection have checkpoints of their own',
    says: /./,
  },
  {
    name: 'every shard of a projection has the same checkpoint',
    breaks: knowsUnitBy((unit) => ({ ...unit, slots: ALL_SLOTS })),
    caughtBy: 'versions and shards of one projection have checkpoints of their own',
    says: /./,
  },
  {
    name: 'a shard is opened among others than its own',
    breaks: opensAmongOthers(/its stored shards are 2 /),
    caughtBy: 'the first shard that is opened makes all of them, at once, and the projection stays in these',
    says: /opening .* among other shards: it should reject/,
  },
  {
    name: 'a shard of a projection that is in one is opened',
    breaks: opensAmongOthers(/its stored shards are 1 /),
    caughtBy: 'a projection in one shard is not opened in several, nor in several by two at once',
    says: /opening a shard of what is in one: it should reject/,
  },
  {
    name: 'a shard is opened only among those that it was to be among',
    breaks: opens((store) => ({
      open: async (unit, first, signal) => {
        const stored = await store.list({ projection: unit.projection }, signal)
        const isOther = stored.length > 0 && stored.length !== (first.shards?.length ?? 1)
        if (isOther) throw new Error('it is in other shards')
        return await store.open(unit, first, signal)
      },
    })),
    caughtBy:
      'a shard that has a row is opened whatever the other ones are to be, and none is made beside it',
    says: /it is in other shards/,
  },
  {
    name: 'a shard that was replaced is made again',
    breaks: opensAmongOthers(/its stored shards are 4 /),
    caughtBy:
      'shards are replaced at once, if the store does that: those that are made go on, and no owner of the others moves or makes one',
    says: /opening a shard that was replaced: it should reject/,
  },
  {
    name: 'whoever opens a shard is not told how far it is to come',
    breaks: opens((store) => ({
      open: async (...args) => ({ ...(await store.open(...args)), bound: undefined }),
    })),
    caughtBy:
      'shards that are to meet are told how far to come, for as long as was said, if the store does that',
    says: /how far a shard is to come that is opened; found undefined/,
  },
  {
    name: 'bounds are not held for any other time',
    breaks: controls(() => ({ holdBounds: async () => {} })),
    caughtBy:
      'shards that are to meet are told how far to come, for as long as was said, if the store does that',
    says: /the time ends for which a bound is held/,
  },
  {
    name: 'shards are replaced as they were before others were',
    breaks: controls((control) => ({
      reshard: async (version, decide, limits) => {
        const units = await control.units({ projection: version.projection }, limits.signal)
        const found = units.toSorted((a, b) => a.unit.slots.from - b.unit.slots.from)
        const change = decide(found, [version.version])
        return (await control.reshard?.(version, () => change, limits)) ?? []
      },
    })),
    caughtBy:
      'of several that replace shards at once each decides on what the one before has left, if the store does that',
    says: /./,
  },
  {
    name: 'a rebuild leaves all shards but the first as they are',
    breaks: controls((control) => ({
      fulfil: (request, work) =>
        control.fulfil(request, async (...found) => {
          const done = await work(...found)
          return done === undefined || 'refused' in done ? done : { ...done, others: [] }
        }),
    })),
    caughtBy: SHARDS_WITH_FIRST_RULE,
    says: /the shards after all of them were reset/,
  },
  {
    name: 'list gives the units of every source',
    breaks: opens((store) => ({ list: ({ source: _, ...filter }, signal) => store.list(filter, signal) })),
    caughtBy: 'list gives every unit where it stands, or those of a source or a projection',
    says: /the units of the source; found/,
  },
  {
    name: 'list gives the units of every projection',
    breaks: opens((store) => ({
      list: ({ projection: _, ...filter }, signal) => store.list(filter, signal),
    })),
    caughtBy: 'list gives every unit where it stands, or those of a source or a projection',
    says: /the units of the projection; found/,
  },
  {
    name: 'a checkpoint is opened whatever source it is of',
    breaks: opens((store) => ({
      open: (unit, first, signal) => store.open(unit, { ...first, source: 'events' }, signal),
    })),
    caughtBy: 'a checkpoint of another source is not opened, and stays as it is',
    says: /opening the checkpoint of another source: it should reject/,
  },
  {
    name: 'nothing is remembered of a source',
    breaks: opens(() => ({ progress: async () => [] })),
    caughtBy: 'progress lists the checkpoints of a source where they stand, and of no other',
    says: /the checkpoints of the source; found \[\]/,
  },
  {
    name: 'a checkpoint is stored without its evidence',
    breaks: opens((store) => ({
      progress: async (source, signal) =>
        (await store.progress(source, signal)).map(({ unit, position }) => ({ unit, position })),
    })),
    caughtBy: 'a checkpoint is stored with the evidence that it rests on',
    says: /the evidence of the checkpoint; found/,
  },
  {
    name: 'the settled position of one source is that of every source',
    breaks: saves((save) => (_, evidence, signal) => save('events', evidence, signal)),
    caughtBy: 'a settled position is stored alone, the last one of each source, and moves no checkpoint',
    says: /the settled position that is stored for the source|found/,
  },
  {
    name: 'every source is taken to share the log',
    breaks: opens(() => ({ sharesLogWith: async () => true })),
    caughtBy: 'a store shares no log with a source that it does not know',
    says: /sharesLogWith\("a run of a store"\); found true/,
  },
  {
    name: 'every error is taken to have a message',
    breaks: opens(() => ({ isTransient: (error) => (error as Error).message.includes('lost') })),
    caughtBy: 'isTransient answers for any value, and never throws',
    says: /isTransient\(undefined\)/,
  },
  {
    name: 'every error is taken for a passing fault',
    breaks: opens(() => ({ isTransient: () => true })),
    caughtBy: 'isTransient does not take the mistake of a handler for a passing fault',
    says: /tried again for ever/,
  },
  {
    name: 'skips are not recorded',
    breaks: records(() => async () => {}),
    caughtBy: 'a skipped run is counted by the advance that crosses it, and not again',
    says: /the runs that each advance has crossed/,
  },
  {
    name: 'a run is counted as often as it is recorded',
    breaks: (fixture) => {
      const runs: SkippedRun<string>[] = []
      return opens((store) => ({
        skips: { record: async (_, recorded) => void runs.push(...recorded), list: async () => [] },
        advance: async (request, work) => ({
          ...(await store.advance(request, work)),
          crossed: runs.map((run) => ({ ...run, reason: 'stale_high_water_mark' as const })),
        }),
      }))(fixture)
    },
    caughtBy:
      'a run that several daemons record is one run, also where they saw it begin in different places',
    says: /what was already passed is left out/,
  },
  {
    name: 'the runs of one source are those of every source',
    breaks: records((record) => async (source, runs, signal) => {
      await record(source, runs, signal)
      await record('other events', runs, signal)
    }),
    caughtBy: 'each projection counts the runs that it crosses, those of its own source alone',
    says: /found \[ 3n, 3n, 3n \]/,
  },
  {
    name: 'the head at the start of a projection is forgotten',
    breaks: opens((store) => ({
      open: (unit, first, signal) => store.open(unit, { ...first, head: undefined }, signal),
    })),
    caughtBy: 'what lay below the head when a projection first started counts as a historical gap',
    says: /the totals by reason/,
  },
  {
    name: 'work that fails has crossed its runs all the same',
    breaks: opens((store) => ({
      advance: async (request, work) => {
        const advanced = await store.advance(request, async () => {})
        await work([])
        return advanced
      },
    })),
    caughtBy: 'an advance whose work fails counts nothing',
    says: /after work that failed/,
  },
  {
    name: 'who has paused a unit is forgotten',
    breaks: controls((control) => ({
      units: async (filter, signal) =>
        (await control.units(filter, signal)).map((unit) => ({ ...unit, decision: undefined })),
    })),
    caughtBy:
      'a unit is to run until an operator says otherwise, and what was said is kept with who, why and when',
    says: /a unit that another process has paused; found/,
  },
  {
    name: 'a paused unit works before it is refused',
    breaks: opens((store) => ({
      advance: async (request, work) =>
        await store.advance(request, work).catch(async (error) => {
          await work([])
          throw error
        }),
    })),
    caughtBy:
      'the checkpoint of a paused unit does not move, by no owner and without work, until it is resumed',
    says: /how often the work was done; found 2/,
  },
  {
    name: 'paused units are listed whatever source they are of',
    breaks: controls((control) => ({
      units: ({ source: _, ...filter }, signal) => control.units(filter, signal),
    })),
    caughtBy: 'units are paused by themselves, and found by source, projection and what is wanted of them',
    says: /those of the source; found/,
  },
  {
    name: 'a unit is paused where it stood before the batch at hand',
    breaks: decidesTooEarly,
    caughtBy: 'a change waits for the batch at hand, and no later one commits against it',
    says: /where the unit stood when it was decided to pause it; found undefined/,
  },
  {
    name: 'a change waits for the batch at hand for ever',
    breaks: controls((control) => ({
      change: (unit, decide, limits) => control.change(unit, decide, { ...limits, timeoutMs: 60_000 }),
    })),
    caughtBy: 'a change that would wait for too long is given up, and changes nothing',
    says: /nothing happened within/,
    hangs: true,
  },
  {
    name: 'each of several operators decides for itself',
    breaks: decidesTooEarly,
    caughtBy: 'of callers that ask at once each decides on what the one before has stored',
    says: /how many of ten have paused it; found 10/,
  },
  {
    name: 'the error of a decision is wrapped',
    breaks: controls((control) => ({
      change: (unit, decide, limits) =>
        control.change(unit, decide, limits).catch((cause) => {
          throw new Error('the operation failed', { cause })
        }),
    })),
    caughtBy: 'a change that is not decided changes nothing, nor does one of a unit that is not there',
    says: /the very error of the decision/,
  },
  {
    name: 'a unit that is forgotten stays',
    breaks: controls((control) => ({
      change: (unit, decide, limits) =>
        control.change(
          unit,
          (found) => {
            const change = decide(found)
            return change && 'to' in change ? { ...change, to: change.to ?? found } : change
          },
          limits,
        ),
    })),
    caughtBy: 'a unit is moved and forgotten, and the audit says what was there before and after',
    says: /the unit that was forgotten; found/,
  },
  {
    name: 'a request is done by whoever comes',
    breaks: controls((control) => ({
      fulfil: async (request, work) => {
        const [found] = await control.units({}, request.signal)
        if (found !== undefined) await work([], found, undefined, [])
        return await control.fulfil(request, work)
      },
    })),
    caughtBy: 'what a node is asked to do is kept until one has done it, once, with its audit entry',
    says: /where the unit stood when it was done; found/,
  },
  {
    name: 'a paused unit does nothing that it is asked',
    breaks: controls((control) => ({
      fulfil: async (request, work) => {
        const [found] = await control.units({}, request.signal)
        return found?.desired === 'paused' ? undefined : await control.fulfil(request, work)
      },
    })),
    caughtBy: 'what is asked of a paused unit is done, and the unit stays paused',
    says: /what is wanted of it; found/,
  },
  {
    name: 'a request that fails is taken back',
    breaks: controls((control) => ({
      fulfil: async (request, work) =>
        control.fulfil(request, work).catch(async (error) => {
          await control.fulfil(request, async () => ({ refused: 'it has failed' }))
          throw error
        }),
    })),
    caughtBy:
      'where doing it fails nothing is changed, and it is still asked for; refused, it is not, and the audit says why',
    says: /the unit after it; found/,
  },
  {
    name: 'a request forgets the position that it is about',
    breaks: controls((control) => ({
      units: async (...args) =>
        (await control.units(...args)).map((unit) =>
          unit.asked === undefined ? unit : { ...unit, asked: { ...unit.asked, position: '' } },
        ),
    })),
    caughtBy:
      'a request keeps the position that it is about; what is buried with it counts where it is done, not where that fails',
    says: /the position that it is about; found/,
  },
  {
    name: 'a request is done for an owner that has not begun',
    breaks: controls((control) => ({
      fulfil: ({ session: _, ...request }, work) => control.fulfil(request, work),
    })),
    caughtBy: 'nothing is done for an owner that has not begun, or that another one has followed',
    says: /whether it was done before anybody has begun; found/,
  },
  {
    name: 'a request is done while another owner works',
    breaks: controls((control) => ({
      fulfil: async (request, work) => (await control.fulfil(request, work)) ?? ({ id: 0n } as AuditEntry),
    })),
    caughtBy: 'nothing that was asked is done while another owner works on the unit',
    says: /while the unit was at work/,
  },
  {
    name: 'every page of the audit is the first',
    breaks: controls((control) => ({
      audit: ({ before: _, ...filter }, signal) => control.audit(filter, signal),
    })),
    caughtBy: 'the audit is read in pages, the newest first, of every unit or of one projection or source',
    says: /the second page; found/,
  },
  {
    name: 'every version is live',
    breaks: opens((store) => ({
      open: async (...args) => ({ ...(await store.open(...args)), role: 'live' }),
    })),
    caughtBy:
      'the first version of a projection is live, and later ones are beside it, in whatever order they are opened again',
    says: /the roles; found/,
  },
  {
    name: 'whoever is opened first is live',
    breaks: opens((store) => ({
      open: (unit, { isLaterVersion: _, ...first }, signal) => store.open(unit, first, signal),
    })),
    caughtBy: 'a version that begins together with an earlier one is beside it, whichever is opened first',
    says: /the roles; found/,
  },
  {
    name: 'who opens at once does not see the other',
    breaks: opens((store) => ({
      open: async (unit, first, signal) => {
        const others = await store.list({ projection: unit.projection }, signal)
        const opened = await store.open(unit, first, signal)
        return others.length === 0 ? { ...opened, role: 'live' } : opened
      },
    })),
    caughtBy: 'of two versions that are opened at once by two owners one is live',
    says: /the roles; found/,
  },
  {
    name: 'a change leaves the role as it is',
    breaks: controls((control) => ({
      change: (unit, decide, limits) =>
        control.change(
          unit,
          (found) => {
            const change = decide(found)
            if (change === undefined || 'ask' in change || change.to === undefined) return change
            return found ? { ...change, to: { ...change.to, role: found.role } } : change
          },
          limits,
        ),
    })),
    caughtBy: 'each version moves by itself, and the audit keeps what role one had before and after',
    says: /what the audit says; found/,
  },
  {
    name: 'how far a version had come is forgotten',
    breaks: opens((store) => ({
      open: async (...args) => ({ ...(await store.open(...args)), furthest: undefined }),
    })),
    caughtBy:
      'how far a version had come is kept where it is moved back or becomes live, and whoever opens it is told',
    says: /what whoever opens it is told; found/,
  },
  {
    name: 'letters stay where they are in a switch',
    breaks: letters(() => ({ handOver: async () => {} })),
    caughtBy:
      'dead letters that a switch hands over are those of the other version, with the switch, or not at all',
    says: /the letters after a switch; found/,
  },
  {
    name: 'a version becomes live whatever the live one does',
    breaks: controls((control) => ({
      fulfil: ({ liveWithinMs: _, ...request }, work) => control.fulfil(request, work),
    })),
    caughtBy:
      'a version becomes live, and the one that was is beside, in one step at one position, with both locked',
    says: /an advance of the live version/,
  },
  {
    name: 'a request ends whatever has come of it',
    breaks: controls((control) => ({
      fulfil: (request, work) =>
        control.fulfil(request, async (...found) => (await work(...found)) ?? { refused: 'nothing' }),
    })),
    caughtBy: 'what comes to nothing now changes nothing, and is still asked for',
    says: /what was done; found/,
  },
  {
    name: 'the live version is looked at before its batch at hand has ended',
    breaks: controls((control) => ({
      fulfil: async (request, work) => {
        const before = await control.units({}, request.signal)
        const live = before.find(({ role }) => role === 'live')
        return await control.fulfil(request, (tx, found, _, others) => work(tx, found, live, others))
      },
    })),
    caughtBy: 'a live version at work is waited for, and not for longer than is said',
    says: /where the live version stood after its batch; found/,
  },
  {
    name: 'an operation is done whatever its signal says',
    breaks: controls((control) => ({
      change: (unit, decide, limits) => control.change(unit, decide, { ...limits, signal: never() }),
    })),
    caughtBy: 'what operators ask is not done when its signal has fired',
    says: /a call with a fired signal: it should reject/,
  },
  {
    name: 'what a projection gives up is not totalled',
    breaks: asks(() => ({ passed: [] })),
    caughtBy: 'what a projection itself gives up is totalled by the advance that passes it, and by no other',
    says: /the totals of apply_error after each advance/,
  },
  {
    name: 'what is suspected is not kept',
    breaks: begins(({ begin }) => ({
      begin: (request, decide) =>
        begin(request, (found) => ({ session: decide(found).session, suspicion: undefined })),
    })),
    caughtBy: 'who has begun at a unit, and what is suspected, is kept for the next owner',
    says: /what the next owner finds/,
  },
  {
    name: 'an advance does not look who has begun',
    breaks: opens((store) => ({
      advance: ({ tenure: _, ...request }, work) => store.advance(request, work),
    })),
    caughtBy: 'an advance keeps what it is given with the checkpoint, and only for who has begun',
    says: /an advance of a session that has not begun/,
  },
  {
    name: 'whoever ends takes the session of another one away',
    breaks: begins(({ begin }) => ({
      end: (unit, _, signal) =>
        begin({ unit, from: undefined, incarnation: 'any', effects: 'always', signal }, ({ suspicion }) => ({
          session: undefined,
          suspicion,
        })),
    })),
    caughtBy: 'a clean end takes the session away, of no other session, and leaves what is suspected',
    says: /what is kept after the end of another session/,
  },
  {
    name: 'a session begins wherever the checkpoint is',
    breaks: begins(({ begin }, store) => ({
      begin: async (request, decide) => {
        const stored = await store.read(request.unit, request.signal)
        await begin({ ...request, from: stored?.position }, decide)
      },
    })),
    caughtBy:
      'nobody begins where the checkpoint is not, while another owner works, or where the answer is an error',
    says: /to begin at another checkpoint/,
  },
  {
    name: 'the name of an error is left out of its dead letter',
    breaks: letters(({ bury }) => ({
      bury: (tx, unit, letter) => bury(tx, unit, { ...letter, error: { ...letter.error, name: '' } }),
    })),
    caughtBy: 'a dead letter is there with the checkpoint that passes its events, as it was written',
    says: /the letter; found/,
  },
  {
    name: 'a dead letter is committed by itself',
    breaks: opens((store) => {
      const { deadLetters } = store
      if (deadLetters === undefined) return {}
      const bury: typeof deadLetters.bury = async (_, __, letter) => {
        const unit = wholeUnit(crypto.randomUUID())
        const { source } = letter
        const evidence = { incarnation: 'i', settled: '1', logPosition: undefined }
        await store.open(unit, { source, head: undefined }, never())
        await store.advance({ unit, source, from: undefined, to: '1', evidence, signal: never() }, (tx) =>
          deadLetters.bury(tx, unit, letter),
        )
      }
      return { deadLetters: { ...deadLetters, bury } }
    }),
    caughtBy: 'a dead letter whose checkpoint does not move is not there',
    says: /the letters; found \[ '1' \]/,
  },
  {
    name: 'a page of dead letters begins anew each time',
    breaks: letters(({ list }) => ({
      list: (filter, { limit }, signal) => list(filter, { limit }, signal),
    })),
    caughtBy: 'dead letters are listed in the order of their burial, in pages, and by what they are',
    says: /how many letters each page of two has; found \[ 2, 2, 2, 2 \]/,
  },
  {
    name: 'a dead letter that is closed is closed again',
    breaks: letters(({ close }) => ({
      close: async (ids, closing, signal) => {
        await close(ids, closing, signal)
        return ids
      },
    })),
    caughtBy: 'a dead letter is closed once, whoever asks, and says why and by whom',
    says: /what was closed, by all that asked/,
  },
  {
    name: 'a dead letter is retried twice',
    breaks: letters(({ takeRetry }) => ({
      takeRetry: async (tx, unit, id) => (await takeRetry(tx, unit, id)) ?? { close: async () => {} },
    })),
    caughtBy:
      'a dead letter that is asked for is retried once: closed with the work of its advance, or asked for as before',
    says: /whether each was to be retried, of this projection/,
  },
  {
    name: 'a dead letter that was retried in vain keeps its first error',
    breaks: letters(({ retryFailed }) => ({
      retryFailed: (tx, unit, id) => retryFailed(tx, unit, id, { name: 'TypeError', message: 'older' }),
    })),
    caughtBy: 'a dead letter that was retried in vain is open and asked for no more, with its newest error',
    says: /the letter; found/,
  },
  {
    name: 'no key is ever parked',
    breaks: letters(({ parkedKeys }) => ({
      parkedKeys: async (tx, unit, keys) => ({ ...(await parkedKeys(tx, unit, keys)), keys: new Set() }),
    })),
    caughtBy:
      'a key is parked while a dead letter of it is open, and what is parked behind the last one is asked for when that is closed',
    says: /the keys that are parked/,
  },
  {
    name: 'a dead letter forgets its key',
    breaks: letters(({ bury }) => ({
      bury: (tx, unit, letter) => bury(tx, unit, { ...letter, key: undefined }),
    })),
    caughtBy:
      'of dead letters with one key the first is retried first, and the one behind it follows when it is closed',
    says: /the states after one behind was asked for/,
  },
  {
    name: 'dead letters that are closed are counted on',
    breaks: letters(({ list, counts }) => ({
      counts: async (signal) =>
        await Promise.all(
          (await counts(signal)).map(async (count) => {
            const all = await list({ projection: count.projection }, { limit: 100 }, signal)
            return { ...count, open: all.length }
          }),
        ),
    })),
    caughtBy: 'open dead letters are counted by projection, with the time of the oldest',
    says: /the open letters after one was closed/,
  },
  {
    name: 'who held a run is forgotten',
    breaks: opens(({ skips }) =>
      skips
        ? {
            skips: {
              record: (...args) => skips.record(...args),
              list: async (...args) =>
                (await skips.list(...args)).map((run) => ({ ...run, heldBy: undefined })),
            },
          }
        : {},
    ),
    caughtBy: 'a skipped run is listed with who held it and who has passed it, the newest first',
    says: /who held the first/,
  },
  {
    name: 'the same runs are looked at each time',
    breaks: late(({ watched }) => ({
      watched: (source, page, signal) => watched(source, { ...page, after: undefined }, signal),
    })),
    caughtBy: 'runs are looked at again in turns, those of one source, within the window',
    says: /the runs after it/,
  },
  {
    name: 'a late event is opened for what whoever has found it knows',
    breaks: opens((store) => {
      const { lateEvents } = store
      if (lateEvents === undefined) return {}
      return {
        lateEvents: {
          ...lateEvents,
          open: async (source, units, found, signal) => {
            const stored = (await store.list({}, signal)).map(({ unit }) => unitName(unit))
            const known = units.filter(({ unit }) => stored.includes(unitName(unit)))
            return await lateEvents.open(source, known, found, signal)
          },
        },
      }
    }),
    caughtBy:
      'a late event is opened for the shards that there are, whoever has not heard of them yet, if the store replaces shards',
    says: /opened by who knows two that were joined/,
  },
  {
    name: 'a late event is recorded by everyone who finds it',
    breaks: late(({ record }) => ({
      record: async (source, as, events, signal) => {
        await record(source, as, events, signal)
        return events.map((event) => ({ ...event, afterMs: 0 }))
      },
    })),
    caughtBy:
      'a late event is recorded once and opened once, for each unit that has passed it and wants its type',
    says: /what was recorded by the second/,
  },
  {
    name: 'what is given in its place is not kept',
    breaks: asks(() => ({ positions: [] })),
    caughtBy: 'what a unit was given in its place is not late for it, whoever is first',
    says: /what was opened/,
  },
  {
    name: 'a late event that is handled stays open',
    breaks: late(() => ({ close: async (_tx, _unit, _source, positions) => positions.slice(0, 1) })),
    caughtBy: 'a late event is closed with the advance that handles it, or not at all',
    says: /what is due in the end/,
  },
  {
    name: 'nobody is told what another version was given',
    breaks: late(() => ({ ofOthers: async () => [] })),
    caughtBy: 'what another version was given is told, and not what is open, or of another projection',
    says: /what is told once it was given/,
  },
  {
    name: 'a checkpoint moves back, and the dead letters of what is handled again stay open',
    breaks: controls((control) => ({
      change: (unit, decide, limits) =>
        control.change(
          unit,
          (found) => {
            const change = decide(found)
            if (change === undefined || 'ask' in change) return change
            const { closes: _, ...others } = change
            return others
          },
          limits,
        ),
    })),
    caughtBy:
      'dead letters whose events are handed out again are closed with what leads to it, and no others',
    says: /the letters after a move back/,
  },
  {
    name: 'whoever begins is taken for one that is given its events always',
    breaks: begins(({ begin }) => ({
      begin: (request, decide) => begin({ ...request, effects: 'always' }, decide),
    })),
    caughtBy: 'for whom the one that has begun is given its events is kept with the unit',
    says: /what operators are told/,
  },
  {
    name: 'a checkpoint that is opened says nothing of what was decided',
    breaks: opens((store) => ({
      open: async (...args) => {
        const { decided: _, ...opened } = await store.open(...args)
        return opened
      },
    })),
    caughtBy:
      'a checkpoint tells as it is opened what operators have decided last, so that whatever they decide later is news',
    says: /what was decided of a new unit/,
  },
  {
    name: 'a late event that is not wanted leaves no audit entry',
    breaks: late(() => ({ discard: async () => 1 })),
    caughtBy: 'what is decided about late events has an audit entry, once, whoever else decides so',
    says: /the audit/,
  },
  {
    name: 'what is discarded stays open',
    breaks: late(({ ask }) => ({ discard: (...args) => ask(...args) })),
    caughtBy: 'what is asked for stays asked for until it is closed, and what is discarded is closed',
    says: /discarded twice/,
  },
  {
    name: 'a lost event is recorded by everyone who finds it',
    breaks: loses(({ record }) => ({
      record: async (source, losses, signal) => {
        await record(source, losses, signal)
        return losses
      },
    })),
    caughtBy: 'a lost event is recorded once, whoever finds it, and kept with all that is known of it',
    says: /what the second has recorded/,
  },
  {
    name: 'who held a lost event is forgotten',
    breaks: loses(({ list }) => ({
      list: async (...args) => (await list(...args)).map((loss) => ({ ...loss, heldBy: [] })),
    })),
    caughtBy: 'a lost event is recorded once, whoever finds it, and kept with all that is known of it',
    says: /what is kept/,
  },
  {
    name: 'a number means the same in each run of the store',
    breaks: loses(({ record }) => ({
      record: (source, losses, signal) =>
        record(
          source,
          losses.filter(({ incarnation }) => incarnation !== 'another run'),
          signal,
        ),
    })),
    caughtBy:
      'the same number of another consumer, run of the store or source is another event, and is counted',
    says: /what was recorded/,
  },
  {
    name: 'verdicts are counted together',
    breaks: loses(({ totals }) => ({
      totals: async (...args) =>
        (await totals(...args)).map((total) => ({ ...total, verdict: 'lost' as const })),
    })),
    caughtBy:
      'the same number of another consumer, run of the store or source is another event, and is counted',
    says: /the totals/,
  },
  {
    name: 'what a handler has passed is kept as it was said first',
    breaks: loses(({ keepPassed, passed }) => ({
      keepPassed: async (source, consumer, ...args) => {
        if ((await passed(source, consumer, never())) === undefined)
          await keepPassed(source, consumer, ...args)
      },
    })),
    caughtBy: PASSED_RULE,
    says: /what is kept later/,
  },
  {
    name: 'what a handler has passed is kept once for all sources',
    breaks: loses(({ keepPassed, passed }) => ({
      keepPassed: (_source, ...args) => keepPassed('', ...args),
      passed: (_source, ...args) => passed('', ...args),
    })),
    caughtBy: PASSED_RULE,
    says: /what is kept of another source/,
  },
  {
    name: 'what is being told is claimed by another at once',
    breaks: loses(({ claim }) => ({
      claim: (source, due, signal) => claim(source, { ...due, claimMs: -1 }, signal),
    })),
    caughtBy: 'what nobody has told is claimed by one other after a time, and what was told never again',
    says: /what is claimed at once/,
  },
  {
    name: 'what was told is told again',
    breaks: loses(() => ({ told: async () => {} })),
    caughtBy: 'what nobody has told is claimed by one other after a time, and what was told never again',
    says: /what is claimed/,
  },
  {
    name: 'of each version the live one is told',
    breaks: tells((progressOf) => (projection, _, signal) => progressOf(projection, undefined, signal)),
    caughtBy: TOLD_RULE,
    says: /what is told of a version that has nothing processed/,
  },
  {
    name: 'what is told of a version is what was asked for first',
    breaks: tells((progressOf) => {
      const first = new Map<string, ReturnType<typeof progressOf>>()
      return async (projection, version, signal) => {
        const asked = `${projection} ${version}`
        const found = first.get(asked) ?? progressOf(projection, version, signal)
        if ((await found).length > 0) first.set(asked, found)
        return await found
      }
    }),
    caughtBy: TOLD_RULE,
    says: /what is told of a version that has moved/,
  },
  {
    name: 'the first version is told for ever where none is named',
    breaks: tells(
      (progressOf) => (projection, version, signal) => progressOf(projection, version ?? 1, signal),
    ),
    caughtBy:
      'where no version is named, the store tells of the live one, if it tells of one alone, whichever that is by then',
    says: /what is told of the version that has become live/,
  },
  {
    name: 'what is told of a version does not heed its signal',
    breaks: tells((progressOf) => (projection, version) => progressOf(projection, version, never())),
    caughtBy:
      'opening or reading a checkpoint, listing them, or the progress, rejects when its signal has fired',
    says: /progressOf with a fired signal: it should reject/,
  },
  {
    name: 'a read does not look whether its signal has fired',
    breaks: opens((store) => ({ read: (unit) => store.read(unit, never()) })),
    caughtBy:
      'opening or reading a checkpoint, listing them, or the progress, rejects when its signal has fired',
    says: /read with a fired signal: it should reject/,
  },
  {
    name: 'a settled position is stored whatever its signal says',
    breaks: saves((save) => (source, evidence) => save(source, evidence, never())),
    caughtBy: 'a settled position whose signal has fired is not stored',
    says: /settled.save with a fired signal: it should reject/,
  },
  {
    name: 'a settled position is stored before its signal is looked at',
    breaks: saves((save) => async (source, evidence, signal) => {
      await save(source, evidence, never())
      signal.throwIfAborted()
    }),
    caughtBy: 'a settled position whose signal has fired is not stored',
    says: /what is stored of the source; found \[/,
  },
  {
    name: 'skips are recorded before their signal is looked at',
    breaks: records((record) => async (source, runs, signal) => {
      await record(source, runs, never())
      signal.throwIfAborted()
    }),
    caughtBy: 'skips whose signal has fired are not recorded',
    says: /the runs that an advance has crossed; found \[/,
  },
  {
    name: 'a reading of the progress listens to its signal for ever',
    breaks: opens((store) => ({
      progress: (source, signal) => {
        signal.addEventListener('abort', () => {})
        return store.progress(source, signal)
      },
    })),
    caughtBy: 'no call leaves anything behind on a signal that outlives it',
    says: /how many listeners progress has left on its signal; found 1/,
  },
  {
    name: 'the answer of a store that stalls is waited for whatever the signal says',
    breaks: opens((store) => ({ read: (unit) => store.read(unit, never()) })),
    caughtBy: 'a call that waits for a store that does not answer ends when its signal fires',
    says: /read of a store that does not answer, its signal fired: nothing happened within/,
    hangs: true,
  },
  {
    name: 'nodes of every source are seen',
    breaks: leases((own) => ({
      renew: async (request) => {
        const cluster = await own.renew(request)
        const other = await own.renew({
          ...request,
          node: { ...request.node, id: 'x', source: 'other events' },
        })
        return { ...cluster, nodes: [...cluster.nodes, ...other.nodes.filter(({ id }) => id !== 'x')] }
      },
    })),
    caughtBy:
      'nodes of a source see each other, and which units there are; those of another source they do not',
    says: /which nodes are seen/,
  },
  {
    name: 'a node is alive for ever',
    breaks: leases((own) => ({ renew: (request) => own.renew({ ...request, leaseMs: 3_600_000 }) })),
    caughtBy: 'a node that does not renew is not alive once its lease has ended, and is again when it does',
    says: /the lease of second ends: not so/,
    hangs: true,
  },
  {
    name: 'a claim gives what was not given',
    breaks: leases((own) => ({
      claim: async (request) => {
        await own.claim(request)
        return request.claims.map(({ unit, fence }) => ({ unit, fence: fence + 1n }))
      },
    })),
    caughtBy:
      'a unit that nobody has is given to one of those who claim it at the same time, under a greater fence',
    says: /what was given to either/,
  },
  {
    name: 'a claim takes the newest fence for the one that was seen',
    breaks: leases((own) => ({
      claim: async (request) => {
        const { leases: found } = await own.renew({ node: READER, leaseMs: 1, signal: never() })
        const claims = request.claims.map((claim) => ({ ...claim, fence: found[0]?.fence ?? claim.fence }))
        return await own.claim({ ...request, claims })
      },
    })),
    caughtBy:
      'a unit of a node that is alive is given to nobody else; nor where the fence that was seen is not the newest',
    says: /what is given for a fence of before/,
  },
  {
    name: 'a checkpoint moves under any fence',
    breaks: opens((store) => ({
      advance: ({ fence: _fence, ...request }, work) => store.advance(request, work),
    })),
    caughtBy:
      'a unit whose owner has not renewed is given to another node, and what the first one does then is refused',
    says: /an advance under the fence of before: it should reject/,
  },
  {
    name: 'whoever begins is not asked for a fence',
    breaks: opens((store) =>
      store.tenures === undefined
        ? {}
        : {
            tenures: {
              begin: ({ fence: _fence, ...request }, decide) =>
                store.tenures?.begin(request, decide) ?? Promise.resolve(),
              end: (...args) => store.tenures?.end(...args) ?? Promise.resolve(),
            },
          },
    ),
    caughtBy: 'nobody begins at a unit under a fence that is not the newest',
    says: /to begin under a fence of before: it should reject/,
  },
  {
    name: 'whoever gives a unit back is not asked whether it is theirs',
    breaks: leases((own) => ({
      release: async (request) => {
        const { leases: found } = await own.renew({ node: READER, leaseMs: 1, signal: never() })
        const all = found.flatMap(({ unit, owner, fence }) =>
          owner === undefined ? [] : [{ unit, owner, fence }],
        )
        for (const { owner, ...lease } of all) await own.release({ ...request, node: owner, leases: [lease] })
      },
    })),
    caughtBy: "what is given back under its fence is nobody's; under another fence it stays",
    says: /who has it after others gave it back/,
  },
  {
    name: 'a node that has left comes back',
    breaks: leases(() => ({ leave: async () => {} })),
    caughtBy:
      'a node that has left has nothing, and what it has sent before and arrives later brings it not back',
    says: /which nodes are seen|what is given to one/,
  },
  {
    name: 'whoever claims is made alive by it',
    breaks: leases((own) => ({
      claim: async (request) => {
        await own.renew({ node: { ...READER, id: request.node }, leaseMs: 1_000, signal: never() })
        return await own.claim(request)
      },
    })),
    caughtBy:
      'a node that is not alive itself, or has never joined, or joined another source, is given nothing',
    says: /what is given to second/,
  },
  {
    name: 'a claim waits for whoever moves the checkpoint',
    breaks: (fixture: Fixture): Fixture => {
      let moving: Promise<unknown> = Promise.resolve()
      return opens((store) => ({
        advance: (...args: Advance) => {
          let over = (): void => {}
          moving = new Promise<void>((resolve) => {
            over = resolve
          })
          return store.advance(...args).finally(() => over())
        },
        ...alteredLeases(store, (own) => ({
          claim: async (request) => {
            await moving
            return await own.claim(request)
          },
        })),
      }))(fixture)
    },
    caughtBy: 'a unit whose checkpoint is being moved is left out of a claim, which does not wait',
    says: /a claim: nothing happened within/,
    hangs: true,
  },
  {
    name: 'a unit is given for whatever presence is named',
    breaks: leases((own) => ({
      claim: async (request) => {
        const { nodes } = await own.renew({ node: READER, leaseMs: 1, signal: never() })
        const gone = nodes.flatMap(({ presence }) => (presence.is === 'gone' ? [presence.which] : []))[0]
        return await own.claim({ ...request, claims: request.claims.map((claim) => ({ ...claim, gone })) })
      },
    })),
    caughtBy:
      'a node that ends is seen to be gone by what it keeps in the store, and its units are given to who names that',
    says: /what is given for another one/,
  },
  {
    name: 'what a node cannot work on is remembered for good',
    breaks: (fixture: Fixture): Fixture => {
      const first = new Map<string, readonly string[]>()
      return leases((own) => ({
        renew: (request) => {
          const { id, unable } = request.node
          const remembered = [...(first.get(id) ?? []), ...unable]
          first.set(id, remembered)
          return own.renew({ ...request, node: { ...request.node, unable: remembered } })
        },
      }))(fixture)
    },
    caughtBy: 'what a node says that it cannot work on may be another with each renewal',
    says: /what is seen of the third/,
  },
  {
    name: 'what is wanted of a node is noted each time that it is asked for',
    breaks: nodeControls((own) => ({
      decide: async (decision, signal) => {
        const entries = await own.decide(decision, signal)
        const { source } = decision
        const filter = { source, node: undefined, before: undefined, limit: 1 }
        return entries.length > 0 ? entries : await own.audit(filter, signal)
      },
    })),
    caughtBy: 'what is wanted of a node is seen by all, and noted once, with who and why',
    says: /what is noted the second time/,
  },
  {
    name: 'what is wanted of a node is wanted of those of other sources too',
    breaks: nodeControls((own) => ({
      decide: (decision, signal) => own.decide({ ...decision, source: undefined }, signal),
    })),
    caughtBy: 'what is wanted of a node is seen by all, and noted once, with who and why',
    says: /what is noted for another source/,
  },
  {
    name: 'what is wanted of a name is forgotten with its runs',
    breaks: leases((own) => ({
      renew: async (request) => {
        const { id, source } = request.node
        const { nodes } = await own.renew({ ...request, node: { ...READER, source } })
        const cluster = await own.renew(request)
        if (nodes.some((node) => node.id === id)) return cluster
        await own.control.decide({ source, node: id, desired: 'open', who: 'x', why: 'x' }, request.signal)
        return await own.renew(request)
      },
    })),
    caughtBy: 'what is wanted of a name is wanted of each run of it, also of one that comes later',
    says: /what is seen of one that comes later/,
  },
  {
    name: 'nodes are listed without what they have',
    breaks: nodeControls((own) => ({
      list: async (...args) => (await own.list(...args)).map((node) => ({ ...node, units: [] })),
    })),
    caughtBy: 'nodes are listed with what they have, for as long as they have not left',
    says: /which units/,
  },
  {
    name: 'nobody is told what is wanted of a node',
    breaks: leases((own) => ({
      presence: async (request) =>
        (await own.presence?.({ ...request, onHint: () => {} })) ?? {
          isSeen: false,
          ended: Promise.resolve(),
        },
    })),
    caughtBy: 'whoever is present is told when something is wanted of a node',
    says: /it is told/,
    hangs: true,
  },
  {
    name: 'what has failed once is kept for ever',
    breaks: remembersFailures(async () => true),
    caughtBy: 'what fails at a unit is kept with all that is known of it, until its checkpoint moves',
    says: /once the checkpoint has moved; found/,
  },
  {
    name: 'it fails since it was told last',
    breaks: fails((own) => ({
      list: async (...args) => (await own.list(...args)).map((each) => ({ ...each, sinceMs: each.atMs })),
    })),
    caughtBy: 'failures at one checkpoint add up, whoever tells of them, and begin anew at another',
    says: /since when it fails; found/,
  },
  {
    name: 'where the checkpoint stood is not looked at',
    breaks: fails((own, store) => ({
      tell: async (failure, signal) => {
        const { position } = { ...(await store.read(failure.unit, signal)) }
        await own.tell({ ...failure, position }, signal)
      },
    })),
    caughtBy: 'nothing is told of a unit that stands elsewhere by now, or is not there',
    says: /a checkpoint that has moved on, and of none; found/,
  },
  {
    name: 'a node that has lost its lease tells what fails',
    breaks: fails((own) => ({ tell: ({ fence: _, ...failure }, signal) => own.tell(failure, signal) })),
    caughtBy: 'a node tells nothing of a unit of which another one has the lease',
    says: /who has told it last, under the newest lease; found 'node\/1'/,
  },
  {
    name: 'what is over for one node is over for all',
    breaks: fails((own) => ({
      over: async (unit, _node, signal) => {
        for (const { node } of await own.list({}, signal)) await own.over(unit, node, signal)
      },
    })),
    caughtBy: 'what is over is over for the node that has told it, and is kept for any other',
    says: /the end of what another has told; found undefined/,
  },
  {
    name: 'a failure is told after the batch at hand',
    breaks: (fixture) => {
      let last: Promise<unknown> = Promise.resolve()
      const next = <T>(call: () => Promise<T>): Promise<T> => {
        const result = last.then(call)
        last = result.catch(() => {})
        return result
      }
      return opens((store) => ({
        advance: (...args: Advance) => next(() => store.advance(...args)),
        ...(store.failures
          ? {
              failures: {
                ...store.failures,
                tell: (...args) => next(async () => await store.failures?.tell(...args)),
              },
            }
          : {}),
      }))(fixture)
    },
    caughtBy: 'failures are told while a batch is at hand, and neither waits for the other',
    says: /telling while a batch is at hand: nothing happened within/,
    hangs: true,
  },
  {
    name: 'all failures are listed, whatever is asked for',
    breaks: fails((own) => ({ list: (_, signal) => own.list({}, signal) })),
    caughtBy: 'failures are listed by source and by projection, each of its own unit',
    says: /those of a source; found/,
  },
  {
    name: 'a failure outlives its unit',
    breaks: remembersFailures(async (store, { unit, position }) => {
      const stored = await store.read(unit, never())
      return stored !== undefined && stored.position === position
    }),
    caughtBy: 'of a unit that is forgotten, or a shard that is replaced, no failure is kept',
    says: /that was forgotten, and made anew; found/,
  },
  {
    name: 'checkpoints end with their process',
    breaks: notShared,
    caughtBy: 'a daemon goes on where the one before it has stopped',
    says: /what three daemons/,
  },
  {
    name: 'two daemons do not know of each other',
    breaks: notShared,
    caughtBy: 'two daemons that come and go write the effects of every event once',
    says: /the effects of the events/,
  },
]
