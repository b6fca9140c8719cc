import { type HighWaterReading, StoreRewoundError } from '@tidemark/core'
import type { LoadRequest, OpenedSource, Page } from '@tidemark/core/adapter'
import type { Mutant } from './mutant.ts'
import type { WholeEvent, WholeSource, WholeStore } from './whole-store.ts'

type Reading = HighWaterReading<bigint>
type Request = Parameters<WholeSource['readHighWater']>[0]
type Load = LoadRequest<bigint>
type EventPage = Page<bigint, WholeEvent>

/** Every source over the store is another one. `n` counts them. */
const opens =
  (alter: (source: WholeSource, n: number) => Partial<WholeSource>) =>
  (store: WholeStore): WholeStore => {
    let opened = 0
    return {
      ...store,
      open: () => {
        const source = store.open()
        return { ...source, ...alter(source, ++opened) }
      },
    }
  }

const ordering = (alter: Partial<WholeSource['order']>) =>
  opens(({ order }) => ({ order: { ...order, ...alter } }))

const reads = (alter: (reading: Reading, request: Request) => Partial<Reading>) =>
  opens((source) => ({
    readHighWater: async (request) => {
      const reading = await source.readHighWater(request)
      return { ...reading, ...alter(reading, request) }
    },
  }))

const polls = (alter: (request: Request) => Partial<Request>) =>
  opens((source) => ({
    readHighWater: (request) => source.readHighWater({ ...request, ...alter(request) }),
  }))

/** What the first poll tells was read when the source was opened. */
const readsAtOpening = (tell: (reading: Reading, request: Request) => Reading) =>
  opens((source) => ({
    open: async ({ signal }) => {
      const opened = await source.open({ signal })
      const request = { previous: undefined, opened, stored: [], sharesLog: false, signal }
      return { ...opened, memory: { opened, reading: await source.readHighWater(request) } }
    },
    readHighWater: async (request) => {
      const { opened, reading } = request.opened.memory as { opened: OpenedSource; reading: Reading }
      return request.previous === undefined
        ? tell(reading, request)
        : await source.readHighWater({ ...request, opened })
    },
  }))

const asksFor = (alter: (request: Load) => Partial<Load>) =>
  opens((source) => ({ load: (request) => source.load({ ...request, ...alter(request) }) }))

const loads = (alter: (page: EventPage, request: Load) => Partial<EventPage>) =>
  opens((source) => ({
    load: async (request) => {
      const page = await source.load(request)
      return { ...page, ...alter(page, request) }
    },
  }))

/** What a page says of some of its events, in all of its columns. */
const picked = (page: EventPage, isPicked: (event: WholeEvent, index: number) => boolean): EventPage => {
  const are = page.events.map(isPicked)
  return {
    ...page,
    events: page.events.filter((_, index) => are[index]),
    positions: page.positions.filter((_, index) => are[index]),
    types: page.types?.filter((_, index) => are[index]),
    appendTimesMs: page.appendTimesMs?.filter((_, index) => are[index]),
  }
}

/** Makes the pages that may come along of those that are read. */
const bringsAlong = (alter: (page: EventPage, nth: number) => EventPage) =>
  opens((source) => {
    let brought = 0
    return {
      load: async (request) => {
        const page = await source.load(request)
        return request.mayComeAlong === true ? alter(page, brought++) : page
      },
    }
  })

/** Takes the pages of every type, and picks from them in a way of its own. */
const filters = (matches: (type: string, wanted: string) => boolean) =>
  opens((source) => ({
    load: async (request) => {
      const { eventTypes, limit, upTo } = request
      const all = await source.load({ ...request, eventTypes: undefined, limit: Number.MAX_SAFE_INTEGER })
      const matching = picked(all, ({ type }) => eventTypes?.some((wanted) => matches(type, wanted)) ?? true)
      const page = picked(matching, (_, index) => index < limit)
      const last = page.positions.at(-1)
      return { ...page, through: last !== undefined && page.events.length === limit ? last : upTo }
    },
  }))

const never = (): AbortSignal => new AbortController().signal

/** Every visible position, whatever is open among them. */
const visible = async (source: WholeSource, { head, incarnation }: Reading): Promise<readonly bigint[]> => {
  if (head === undefined) return []
  const page = await source.load({
    after: undefined,
    upTo: head,
    limit: Number.MAX_SAFE_INTEGER,
    eventTypes: undefined,
    evidence: { incarnation, settled: undefined, logPosition: undefined },
    signal: never(),
  })
  return page.positions
}

const lastVisible = async (source: WholeSource, reading: Reading): Promise<bigint | undefined> =>
  (await visible(source, reading)).at(-1)

const endOfVisibleRun = async (source: WholeSource, reading: Reading): Promise<bigint | undefined> =>
  (await visible(source, reading)).findLast((position, index) => position === BigInt(index + 1))

const passesGaps = (when: (request: Request) => boolean) =>
  opens((source) => ({
    readHighWater: async (request) => {
      const reading = await source.readHighWater(request)
      if (!when(request)) return reading
      const mark = await lastVisible(source, reading)
      return { ...reading, mark, settled: reading.head }
    },
  }))

export const SOURCE_MUTANTS: readonly Mutant<WholeStore>[] = [
  {
    name: 'positions are compared as numbers',
    breaks: ordering({ compare: (a, b) => Number(a) - Number(b) }),
    caughtBy: 'the order of positions is total, and the samples ascend in it',
    says: /the sign of compare\(9007199254740992, 9007199254740993\); found -?0, expected -1/,
  },
  {
    name: 'positions are parsed as numbers',
    breaks: ordering({ parse: (text) => BigInt(Number(text)) }),
    caughtBy:
      'a position comes back from its text to the last digit, and different positions have different texts',
    says: /compare\(parse\('9007199254740993'\), the position\)/,
  },
  {
    name: 'positions are parsed with BigInt alone, which takes an empty text for 0',
    breaks: ordering({ parse: BigInt }),
    caughtBy: 'a text that is no position is refused with a TypeError',
    says: /parse\(""\) throws a TypeError; found 0n/,
  },
  {
    name: 'distances are taken between numbers',
    breaks: ordering({ distance: (from, to) => BigInt(Number(to) - Number(from)) }),
    caughtBy: 'distances are whole numbers of positions, and add up',
    says: /by way of another position/,
  },
  {
    name: 'gauges get the last 32 bits of a position',
    breaks: ordering({ approximate: (position) => Number(BigInt.asIntN(32, position)) }),
    caughtBy: 'positions as numbers for gauges, where there are any, are finite and never fall',
    says: /never fall/,
  },
  {
    name: 'each process names the store after itself',
    breaks: opens((_, n) => ({ name: `store of process ${n}` })),
    caughtBy: 'a source has a name, and every process the same one for the same store',
    says: /the name that another process has/,
  },
  {
    name: 'a filter that is honoured is denied',
    breaks: opens(() => ({ filtersByType: false })),
    caughtBy:
      'a source can filter, wake up and measure distances where its capabilities say so, and nowhere else',
    says: /what the source has/,
  },
  {
    name: 'the mark of an empty store is 0, as if there were an event',
    breaks: reads(({ mark }) => ({ mark: mark ?? 0n })),
    caughtBy: 'an empty store has no mark, and is settled up to its head',
    says: /the mark of the first poll; found '0', expected undefined/,
  },
  {
    name: 'the mark stands one below the last event',
    breaks: reads(({ mark }) => ({ mark: mark === undefined ? undefined : mark - 1n })),
    caughtBy: 'the mark comes to stand at the last visible event, whose position it is',
    says: /the events up to the mark; found \[ 'e1', 'e2' \]/,
  },
  {
    name: 'the first reading is kept for ever',
    breaks: opens((source) => ({
      readHighWater: async (request) => request.previous ?? (await source.readHighWater(request)),
    })),
    caughtBy: 'a later poll sees what was appended since, and the mark moves up to it',
    says: /the events up to the mark; found \[\]/,
  },
  {
    name: 'positions that a poll passes are called proven empty',
    breaks: reads(({ head, settled }) => ({
      provenEmpty: head === undefined || settled === undefined ? [] : [{ from: head, to: settled }],
    })),
    caughtBy: 'while nothing is open settled reaches the head, and nothing is a gap, held or skipped',
    says: /provenEmpty: 1/,
  },
  {
    name: 'a poll that finds nothing new forgets the mark',
    breaks: reads(({ head, mark }, { previous }) => ({ mark: previous?.head === head ? undefined : mark })),
    caughtBy: 'settled and mark never go back, and the incarnation stays the same while the store does',
    says: /mark never goes back/,
  },
  {
    name: 'the incarnation is named after the head',
    breaks: reads(({ head, incarnation }) => ({ incarnation: `${incarnation}/${head}` })),
    caughtBy: 'settled and mark never go back, and the incarnation stays the same while the store does',
    says: /TIDEMARK_INCARNATION_CHANGED|the store changed its incarnation/,
  },
  {
    name: 'what the source saw last is remembered in the source, not in the reading',
    breaks: opens((source) => {
      let seen: bigint | undefined
      return {
        readHighWater: async (request) => {
          const reading = await source.readHighWater(request)
          const isNew = reading.head !== seen
          seen = reading.head
          return { ...reading, mark: isNew ? reading.mark : request.previous?.mark }
        },
      }
    }),
    caughtBy: 'a poll that was thrown away changes nothing: the next one goes on from an older reading',
    says: /the mark of the same poll, made again/,
  },
  {
    name: 'each process names an incarnation of its own',
    breaks: opens((source, n) => ({
      readHighWater: async (request) => ({
        ...(await source.readHighWater(request)),
        incarnation: `process ${n}`,
      }),
    })),
    caughtBy: 'two processes over one store see the same mark and the same incarnation',
    says: /the store changed its incarnation|the incarnation that the other process sees/,
  },
  {
    name: 'a stored checkpoint is taken for the head',
    breaks: opens((source) => ({
      readHighWater: async (request) => {
        const reading = await source.readHighWater(request)
        const position = request.stored?.[0]?.position
        return position === undefined
          ? reading
          : { ...reading, head: position, settled: position, mark: position }
      },
    })),
    caughtBy: 'a process that starts anew takes up what is stored, and reads on from there',
    says: /the events after the stored checkpoint; found \[\]/,
  },
  {
    name: 'the store is read when the source is opened, and compared with what is stored',
    breaks: readsAtOpening((reading, { stored = [] }) => {
      for (const { position } of stored) {
        if (position !== undefined && position > (reading.head ?? 0n))
          throw new StoreRewoundError('it went back')
      }
      return reading
    }),
    caughtBy:
      'a checkpoint that another process moves during the first poll does not pass for a store that went back',
    says: /it went back/,
  },
  {
    name: 'the store is read when the source is opened, and what is stored is newer',
    breaks: readsAtOpening((reading) => reading),
    caughtBy:
      'a checkpoint that another process moves during the first poll does not pass for a store that went back',
    says: /the store is read again after the stored progress.*found \[ 'a1' \]/,
  },
  {
    name: 'a source is opened under another name than it is polled',
    breaks: opens((source) => ({
      open: async (request) => ({ ...(await source.open(request)), incarnation: 'opened' }),
    })),
    caughtBy: 'opening a source names the incarnation of its first poll',
    says: /the incarnation that opening the source names; found 'opened'/,
  },
  {
    name: 'a page begins with the event at `after`',
    breaks: asksFor(({ after }) => ({ after: after === undefined ? undefined : after - 1n })),
    caughtBy: 'a page holds the events after `after`, up to and including `upTo`, oldest first',
    says: /ascend from above `after`/,
  },
  {
    name: 'a page ends before the event at `upTo`',
    breaks: opens((source) => ({
      load: async (request) => ({
        ...(await source.load({ ...request, upTo: request.upTo - 1n })),
        through: request.upTo,
      }),
    })),
    caughtBy: 'a page holds the events after `after`, up to and including `upTo`, oldest first',
    says: /how many events there are up to the mark/,
  },
  {
    name: 'a page has its newest event first',
    breaks: loads(({ events, positions }) => ({
      events: [...events].reverse(),
      positions: [...positions].reverse(),
    })),
    caughtBy: 'a page holds the events after `after`, up to and including `upTo`, oldest first',
    says: /the positions of a page ascend/,
  },
  {
    name: 'positions are not beside their events',
    breaks: loads(({ events, positions }) => ({ events, positions: positions.slice(1) })),
    caughtBy: 'a page holds the events after `after`, up to and including `upTo`, oldest first',
    says: /one position for each event/,
  },
  {
    name: 'a full page says that it has looked at everything up to `upTo`',
    breaks: loads((_, { upTo }) => ({ through: upTo })),
    caughtBy: 'page by page every event comes once and in order, whatever the size of the pages',
    says: /the events in pages of 1; found \[ 'e1' \]/,
  },
  {
    name: 'a page has one event more than was asked for',
    breaks: asksFor(({ limit }) => ({ limit: limit + 1 })),
    caughtBy: 'page by page every event comes once and in order, whatever the size of the pages',
    says: /at most `limit` \(1\) events/,
  },
  {
    name: 'a page has 500 events at most, and says that those were all',
    breaks: loads((page) => picked(page, (_, index) => index < 500)),
    caughtBy: 'far behind, with 1500 events to read, nothing is left out',
    says: /how many events .* found 500, expected 1500/,
  },
  {
    name: 'a page goes on to whatever there is now',
    breaks: opens((source) => ({
      load: async (request) => ({
        ...(await source.load({ ...request, upTo: 2n ** 62n })),
        through: request.upTo,
      }),
    })),
    caughtBy: 'an event that is appended after the poll is not on its pages, and not passed by them',
    says: /no event lies above `upTo`/,
  },
  {
    name: 'a page has passed whatever there is now',
    breaks: opens((source) => ({
      load: async (request) => {
        const { head } = await source.readHighWater({
          previous: undefined,
          opened: await source.open({ signal: request.signal }),
          stored: [],
          sharesLog: false,
          signal: request.signal,
        })
        return { ...(await source.load(request)), through: head ?? request.upTo }
      },
    })),
    caughtBy: 'an event that is appended after the poll is not on its pages, and not passed by them',
    says: /not above `upTo`/,
  },
  {
    name: 'the source keeps the place of its one reader',
    breaks: opens((source) => {
      let cursor: bigint | undefined
      return {
        load: async (request) => {
          const after = request.after === undefined ? undefined : (cursor ?? request.after)
          const page = await source.load({ ...request, after })
          cursor = page.through
          return page
        },
      }
    }),
    caughtBy: 'a page can be asked for again, and by several projections at a time',
    says: /the pages; found|ascend from above/,
  },
  {
    name: 'what comes along with a poll lacks its first event',
    breaks: bringsAlong((page) => picked(page, (_, index) => index > 0)),
    caughtBy:
      'a page that has come along with a poll is the one that is read after it, for each who asks for it',
    says: /the events of the page, and those that follow it/,
  },
  {
    name: 'what comes along with a poll is for the first who has asked for it',
    breaks: bringsAlong((page, nth) => picked(page, () => nth === 0)),
    caughtBy:
      'a page that has come along with a poll is the one that is read after it, for each who asks for it',
    says: /the events of the page, and those that follow it/,
  },
  {
    name: 'types are matched by their beginnings',
    breaks: filters((type, wanted) => type.startsWith(wanted)),
    caughtBy: 'a filter lets the events of exactly those types pass, in pages of any size',
    says: /the events of \["Opened"\]/,
  },
  {
    name: 'types are matched as patterns',
    breaks: filters((type, wanted) => new RegExp(`^${wanted}$`).test(type)),
    caughtBy: 'a filter lets the events of exactly those types pass, in pages of any size',
    says: /the events of \["Open\.d"\]/,
  },
  {
    name: 'a page on which nothing matched has looked at nothing',
    breaks: loads(({ events, through }, { after }) => ({
      through: events.length > 0 ? through : (after ?? 0n),
    })),
    caughtBy: 'where no event is of the wanted types, empty pages lead up to `upTo`',
    says: /`through` is above `after`/,
  },
  {
    name: 'append times are seconds',
    breaks: loads(({ appendTimesMs }) => ({
      appendTimesMs: appendTimesMs?.map((ms) => (ms === undefined ? ms : ms / 1_000)),
    })),
    caughtBy: 'a page says when each of its events was appended, in milliseconds',
    says: /within an hour of now/,
  },
  {
    name: 'the first and the last event alone have an append time',
    breaks: loads(({ appendTimesMs }) => ({
      appendTimesMs: appendTimesMs?.map((ms, n) =>
        n === 0 || n === appendTimesMs.length - 1 ? ms : undefined,
      ),
    })),
    caughtBy: 'a page says when each of its events was appended, in milliseconds',
    says: /within an hour of now/,
  },
  {
    name: 'the append times of a page are those of everything up to `upTo`',
    breaks: opens((source) => ({
      load: async (request) => {
        const all = await source.load({ ...request, limit: Number.MAX_SAFE_INTEGER })
        return { ...(await source.load(request)), appendTimesMs: all.appendTimesMs }
      },
    })),
    caughtBy: 'a page says when each of its events was appended, in milliseconds',
    says: /one append time for each event/,
  },
  {
    name: 'the types of a page are those before its filter',
    breaks: opens((source) => ({
      load: async (request) => {
        const all = await source.load({ ...request, eventTypes: undefined })
        const page = await source.load(request)
        return { ...page, types: all.types?.slice(0, page.events.length) }
      },
    })),
    caughtBy: 'a page says the type of each of its events',
    says: /the types of a page that a filter has passed/,
  },
  {
    name: 'opening a source does not look whether its signal has fired',
    breaks: opens((source) => ({ open: () => source.open({ signal: never() }) })),
    caughtBy: 'opening a source, or a poll, whose signal has fired rejects',
    says: /opening a source with a fired signal: it should reject/,
  },
  {
    name: 'a poll does not look at its signal before it begins',
    breaks: polls(({ signal }) => (signal.aborted ? { signal: never() } : {})),
    caughtBy: 'opening a source, or a poll, whose signal has fired rejects',
    says: /a first poll with a fired signal: it should reject/,
  },
  {
    name: 'a page does not look at its signal before it begins',
    breaks: asksFor(({ signal }) => (signal.aborted ? { signal: never() } : {})),
    caughtBy: 'a page whose signal has fired rejects',
    says: /it should reject/,
  },
  {
    name: 'every page listens to its signal for ever',
    breaks: asksFor(({ signal }) => {
      signal.addEventListener('abort', () => {})
      return {}
    }),
    caughtBy: 'polls and pages leave nothing behind on a signal that outlives them',
    says: /how many listeners are left on the signal; found 3/,
  },
  {
    name: 'a poll waits for the store whatever its signal says',
    breaks: polls(() => ({ signal: never() })),
    caughtBy: 'a poll that waits for a store that does not answer rejects when its signal fires',
    says: /nothing happened within/,
    hangs: true,
  },
  {
    name: 'a page waits for the store whatever its signal says',
    breaks: asksFor(() => ({ signal: never() })),
    caughtBy: 'a page that waits for a store that does not answer rejects when its signal fires',
    says: /nothing happened within/,
    hangs: true,
  },
  {
    name: 'wake-ups end after the first',
    breaks: opens((source) => ({
      wakeUps: async function* (signal) {
        for await (const _ of source.wakeUps(signal)) {
          yield
          return
        }
      },
    })),
    caughtBy: 'an append wakes up those who listen, again and again',
    says: /the wake-ups go on until their signal fires/,
  },
  {
    name: 'nobody is ever woken up',
    breaks: opens(() => ({
      wakeUps: async function* (signal) {
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      },
    })),
    caughtBy: 'an append wakes up those who listen, again and again',
    says: /not so within|nothing happened within/,
    hangs: true,
  },
  {
    name: 'wake-ups look at their signal only after an append',
    breaks: opens((source) => ({ wakeUps: () => source.wakeUps(never()) })),
    caughtBy: 'wake-ups end with their signal, though nothing is appended any more',
    says: /the end of the wake-ups whose signal has fired: nothing happened within/,
    hangs: true,
  },
  {
    name: 'every error is taken to have a message',
    breaks: opens(() => ({ isTransient: (error) => (error as Error).message.startsWith('Connection') })),
    caughtBy: 'isTransient answers for any value, and never throws',
    says: /isTransient\(undefined\)/,
  },
  {
    name: 'every error is taken for a passing fault',
    breaks: opens(() => ({ isTransient: () => true })),
    caughtBy: 'isTransient does not take the mistake of a handler for a passing fault',
    says: /tried again for ever; found Error: the handler failed/,
  },
  {
    name: 'the last visible event is taken for the mark',
    breaks: passesGaps(() => true),
    caughtBy: 'the mark stops before the gap of an open transaction, and passes once it has committed',
    says: /the mark while the transaction below is open/,
  },
  {
    name: 'a number that was rolled back counts as skipped',
    breaks: reads(({ provenEmpty }) => ({
      skipped: provenEmpty.map(({ from, to }) => ({
        stored: from - 1n,
        current: to + 1n,
        count: to - from + 1n,
      })),
    })),
    caughtBy: 'the mark passes the gap of a transaction that was rolled back, and nothing counts as skipped',
    says: /how many runs the poll has skipped; found 1/,
  },
  {
    name: 'a number that was rolled back is waited for',
    breaks: opens((source) => ({
      readHighWater: async (request) => {
        const reading = await source.readHighWater(request)
        const mark = await endOfVisibleRun(source, reading)
        return { ...reading, settled: mark ?? 0n, mark }
      },
    })),
    caughtBy: 'the mark passes the gap of a transaction that was rolled back, and nothing counts as skipped',
    says: /settled reaches the head, with nothing open: not so within/,
    hangs: true,
  },
  {
    name: 'nobody is told what holds the mark up',
    breaks: reads(() => ({ gaps: [], holders: [] })),
    caughtBy: 'behind an open transaction settled stands below the head, and the gap or its holder is named',
    says: /there is a gap, or a holder/,
  },
  {
    name: 'a first poll takes what it does not see for empty',
    breaks: passesGaps(({ previous }) => previous === undefined),
    caughtBy: 'a first poll does not pass the gap of a transaction that it never saw begin',
    says: /the event above the gap is not under the mark/,
  },
  {
    name: 'what is stored as settled is not taken up',
    breaks: polls(({ stored }) => ({ stored: stored?.map(({ unit, position }) => ({ unit, position })) })),
    caughtBy: 'a process that starts anew behind an open transaction goes on from what is stored as settled',
    says: /settled is at least what was stored/,
  },
  {
    name: 'the mark stands at settled, where no event is',
    breaks: reads(({ settled, mark }) => ({ mark: mark === undefined ? undefined : settled })),
    caughtBy: 'a rolled-back tail is settled, and does not move the mark',
    says: /the mark, with nothing visible above it/,
  },
  {
    name: 'a gap that two polls have seen is passed',
    breaks: passesGaps(({ previous }) => (previous?.gaps.length ?? 0) > 0),
    caughtBy: 'what lies up to a mark never changes, whatever order transactions end in',
    says: /the events up to what was once the mark/,
  },
  {
    name: 'the mark is the last event that is still there',
    breaks: opens((source) => ({
      readHighWater: async (request) => {
        const reading = await source.readHighWater(request)
        return { ...reading, mark: await lastVisible(source, reading) }
      },
    })),
    caughtBy: 'where old events are deleted the mark stays, and what is left is read',
    says: /mark never goes back/,
  },
  {
    name: 'a page whose `after` has no event any more is empty',
    breaks: opens((source) => ({
      load: async (request) => {
        const { after } = request
        if (after === undefined) return await source.load(request)
        const there = await source.load({ ...request, after: after - 1n, upTo: after })
        const page = await source.load(request)
        return there.events.length > 0 ? page : { ...picked(page, () => false), through: request.upTo }
      },
    })),
    caughtBy: 'a process that starts anew reads on from a checkpoint whose events were deleted',
    says: /the new events; found \[\]/,
  },
  {
    name: 'a page is read from whatever store there is',
    breaks: opens((source) => ({
      load: async (request) => {
        const incarnation = request.evidence.incarnation.replace(/^another /, '')
        return await source.load({ ...request, evidence: { ...request.evidence, incarnation } })
      },
    })),
    caughtBy: 'a page is refused when the store is no longer the one that its poll has seen',
    says: /it should reject/,
  },
  {
    name: 'a poll goes on from the reading of whatever store',
    breaks: polls(({ previous }) => ({
      previous: previous && { ...previous, incarnation: previous.incarnation.replace(/^another /, '') },
    })),
    caughtBy: 'a poll is refused when the store is no longer the one that the last poll has seen',
    says: /it should reject/,
  },
  {
    name: 'stored checkpoints are not compared with the head',
    breaks: polls(() => ({ stored: [] })),
    caughtBy: 'a stored checkpoint beyond the head is refused: the store went back, or is another one',
    says: /it should reject/,
  },
  {
    name: 'a store that went back passes for one that is idle',
    breaks: opens((source) => ({
      readHighWater: async (request) => {
        const reading = await source.readHighWater({
          ...request,
          previous: undefined,
          stored: [],
        })
        const { previous } = request
        return previous && (reading.head ?? 0n) <= (previous.head ?? 0n) ? previous : reading
      },
    })),
    caughtBy: 'a store that went back under a running process is refused, and does not pass for an idle one',
    says: /it should reject/,
  },
  {
    name: 'a checkpoint at the head passes for one beyond it',
    breaks: opens((source) => ({
      readHighWater: async (request) => {
        const reading = await source.readHighWater(request)
        for (const { position } of request.stored ?? []) {
          if (position !== undefined && position >= (reading.head ?? 0n))
            throw new StoreRewoundError('it went back')
        }
        return reading
      },
    })),
    caughtBy: 'a checkpoint at the head is no sign of a store that went back',
    says: /it went back/,
  },
  {
    name: 'every page but the first repeats the event before it',
    breaks: asksFor(({ after }) => ({ after: after === undefined ? undefined : after - 1n })),
    caughtBy:
      'a daemon projects what several writers append at the same time once and in order, also across a restart',
    says: /what the projection with small pages got/,
  },
  {
    name: 'events that are not settled are projected',
    breaks: passesGaps(() => true),
    caughtBy:
      'a daemon projects what transactions commit out of order once and in order, and nothing that they roll back',
    says: /what the projection with (small|large) pages got/,
  },
  {
    name: 'a projection gets types that begin as its own do',
    breaks: filters((type, wanted) => type.startsWith(wanted)),
    caughtBy:
      'a projection of some types gets all of theirs and nothing else, and is up to date when there are none',
    says: /the events that the projection got/,
  },
]
