import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import type { DeadLetter, LetterClosing, NewDeadLetter } from '../../../ports/dead-letters.ts'
import { wholeUnit } from '../../../ports/unit.ts'
import { expectEqual, rejectionOf } from '../expectations.ts'
import {
  ALL,
  type CheckpointStoreRule,
  deadLettersOf,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owner,
  owners,
  SOURCE,
} from './fixture.ts'

const NEEDS = 'keeps_dead_letters'

export const LETTER: NewDeadLetter = {
  source: SOURCE,
  firstPosition: '007',
  lastPosition: 'C:12/P:12',
  events: 2,
  eventTypes: ['Order"Placed"', "it's, {odd} \\"],
  stage: 'handle',
  error: {
    name: 'TypeError',
    message: `it's "quoted" \\ 顧客 🌊 $1`,
    stack: 'at line 1\nat line 2',
    cause: { name: 'Error', message: '', code: 'ECONNREFUSED' },
  },
  tries: 5,
  key: undefined,
  node: 'host/1',
}
const CLOSING: LetterClosing = { as: 'resolved', why: `it's mended`, who: 'Ada "L"' }

/** `deadLetters`, and `passed` of `advance`. */
export const DEAD_LETTER_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'what a projection itself gives up is totalled by the advance that passes it, and by no other',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const passed = [{ reason: 'apply_error', stored: '3', current: '3', count: 2n }] as const
      const failing = store.advance(move(undefined, '3', { passed }), async () => {
        throw new Error('the work failed')
      })
      await rejectionOf(failing, 'advance, its work failed')
      const moves = [
        await store.advance(move(undefined, '3', { passed }), noWork),
        await store.advance(move('3', '4', { passed }), noWork),
        await other.advance(move('4', '5'), noWork),
      ]
      const totals = moves.map(({ skipped }) => skipped.apply_error)
      expectEqual(totals, [2n, 4n, 4n], 'the totals of apply_error after each advance')
      expectEqual(
        moves.map(({ crossed }) => crossed),
        [passed, passed, []],
        'what each advance says that it has crossed',
      )
      const { skipped } = await other.open(ALL, FIRST, never())
      expectEqual(skipped.apply_error, 4n, 'the total that is stored')
    },
  },
  {
    name: 'a dead letter is there with the checkpoint that passes its events, as it was written',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const letter = { ...LETTER, skippedBy: { who: "o'neill", why: 'a test customer' } }
      await buryAt(store, undefined, '12', letter)
      const [found, ...more] = await deadLettersOf(other).list({}, { limit: 10 }, never())
      expectEqual(more, [], 'further letters')
      const { id, buriedAtMs, ...written } = found ?? { id: '', buriedAtMs: 0 }
      const expected = {
        ...letter,
        projection: ALL.projection,
        version: ALL.version,
        retryAsked: undefined,
        closed: undefined,
      }
      expectEqual(written, expected, 'the letter')
      expectEqual(
        Number.isSafeInteger(buriedAtMs) && buriedAtMs > 0,
        true,
        'whether it says when it was buried',
      )
      expectEqual(await deadLettersOf(store).find(id, never()), found, 'the letter that is found by its id')
      expectEqual(
        await deadLettersOf(store).find('no id', never()),
        undefined,
        'the letter of an id that is none',
      )
      await expectPosition(store, '12', 'the checkpoint')
    },
  },
  {
    name: 'a dead letter whose checkpoint does not move is not there',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const failing = store.advance(move(undefined, '3'), async (tx) => {
        await deadLettersOf(store).bury(tx, ALL, LETTER)
        throw new Error('the work failed')
      })
      await rejectionOf(failing, 'advance, its work failed')
      await expectPosition(store, undefined, 'the checkpoint')
      expectEqual(await idsOf(store), [], 'the letters')
      expectEqual(await deadLettersOf(store).counts(never()), [], 'the counts')
    },
  },
  {
    name: 'dead letters are listed in the order of their burial, in pages, and by what they are',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await fiveLetters(await owner(fixture))
      const all = await idsOf(store)
      expectEqual(new Set(all).size, 5, 'how many letters there are')
      const letters = deadLettersOf(store)
      const pages: (readonly DeadLetter[])[] = []
      for (let after: string | undefined; pages.length < 4; after = pages.at(-1)?.at(-1)?.id ?? after) {
        pages.push(await letters.list({}, { after, limit: 2 }, never()))
      }
      expectEqual(
        pages.map((page) => page.length),
        [2, 2, 1, 0],
        'how many letters each page of two has',
      )
      expectEqual(
        pages.flat().map(({ id }) => id),
        all,
        'the letters of all pages',
      )
      await letters.close(all.slice(0, 1), CLOSING, never())
      const found = async (filter: Parameters<typeof letters.list>[0]): Promise<readonly string[]> =>
        (await letters.list(filter, { limit: 10 }, never())).map(({ firstPosition }) => firstPosition)
      expectEqual(await found({ projection: 'second' }), ['2', '4'], 'the letters of one projection')
      expectEqual(await found({ version: 2 }), [], 'the letters of a version that has none')
      expectEqual(await found({ state: 'open', projection: 'all' }), ['3', '5'], 'its open letters')
      expectEqual(await found({ state: 'resolved' }), ['1'], 'the resolved letters')
      expectEqual(await found({ state: 'discarded' }), [], 'the discarded letters')
      expectEqual(await found({ eventType: 'type 4' }), ['4'], 'the letters of one type')
      const open = async (after: string | undefined, limit: number): Promise<readonly string[]> =>
        await letters.openIds({ projection: 'all', version: 1 }, { after, limit }, never())
      const [third = '', fifth = ''] = (
        await letters.list({ state: 'open', projection: 'all' }, { limit: 10 }, never())
      ).map(({ id }) => id)
      expectEqual(
        [await open(undefined, 1), await open(third, 10), await open(fifth, 10)],
        [[third], [fifth], []],
        'the ids of its open letters, in pages',
      )
      expectEqual(
        await letters.openIds({ version: 2 }, { limit: 10 }, never()),
        [],
        'the ids of the open letters of a version that has none',
      )
    },
  },
  {
    name: 'a dead letter is closed once, whoever asks, and says why and by whom',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await fiveLetters(await owner(fixture))
      const [first = '', second = ''] = await idsOf(store)
      const letters = deadLettersOf(store)
      const discarding: LetterClosing = { ...CLOSING, as: 'discarded' }
      const closed = [
        ...(await Promise.all([
          letters.close([first], CLOSING, never()),
          letters.close([first], CLOSING, never()),
        ])),
        await letters.close([second, first, 'no id'], discarding, never()),
      ]
      expectEqual(closed.flat().sort(), [first, second].sort(), 'what was closed, by all that asked')
      const [one, two] = [await letters.find(first, never()), await letters.find(second, never())]
      const { atMs, ...why } = one?.closed ?? { atMs: 0 }
      expectEqual(why, CLOSING, 'why the first one is closed')
      expectEqual(Number.isSafeInteger(atMs) && atMs > 0, true, 'whether it says when it was closed')
      expectEqual(two?.closed?.as, 'discarded', 'how the second one is closed')
    },
  },
  {
    name: 'open dead letters are counted by projection, with the time of the oldest',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await fiveLetters(await owner(fixture))
      const letters = deadLettersOf(store)
      const countOf = async (projection: string): Promise<unknown> => {
        const [found] = (await letters.counts(never())).filter((count) => count.projection === projection)
        return found && { version: found.version, open: found.open, oldestAtMs: found.oldestAtMs }
      }
      const oldestOf = async (id: string | undefined): Promise<number | undefined> =>
        id === undefined ? undefined : (await letters.find(id, never()))?.buriedAtMs
      const [first = '', second = '', third = '', fourth = ''] = await idsOf(store)
      const all = { version: 1, open: 3, oldestAtMs: await oldestOf(first) }
      expectEqual(await countOf('all'), all, 'the open letters of a projection')
      await letters.close([first, first], CLOSING, never())
      await letters.close([first], CLOSING, never())
      const left = { version: 1, open: 2, oldestAtMs: await oldestOf(third) }
      expectEqual(await countOf('all'), left, 'the open letters after one was closed')
      await letters.close([second, fourth], CLOSING, never())
      expectEqual(await countOf('second'), undefined, 'the count of a projection that has none left')
    },
  },
  {
    name: 'a dead letter that is asked for is retried once: closed with the work of its advance, or asked for as before',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await fiveLetters(await owner(fixture))
      const letters = deadLettersOf(store)
      const [first = '', second = '', third = ''] = await idsOf(store)
      expectEqual(await letters.nextRetry(ALL, never()), undefined, 'the next one, before any is asked for')
      const asked = [
        await letters.askRetry({ ids: [first, second, 'no id'] }, ASKER, never()),
        await letters.askRetry({ ids: [first] }, { who: 'Eve', why: 'too' }, never()),
      ]
      expectEqual(asked, [[first, second], [first]], 'the open ones of those that are asked for')
      const next = await letters.nextRetry(ALL, never())
      expectEqual(
        [next?.id, next?.retryAsked?.who],
        [first, ASKER.who],
        'the next one of its projection, and who asks',
      )
      const work = async (tx: Parameters<typeof letters.takeRetry>[0], id: string): Promise<boolean> => {
        const taken = await letters.takeRetry(tx, ALL, id)
        await taken?.close()
        return taken !== undefined
      }
      const failing = store.advance(move('5', '5'), async (tx) => {
        await work(tx, first)
        throw new Error('the work failed')
      })
      await rejectionOf(failing, 'advance, its work failed')
      expectEqual((await letters.nextRetry(ALL, never()))?.id, first, 'the next one after its work failed')
      const taken: boolean[] = []
      await store.advance(move('5', '5'), async (tx) => {
        for (const id of [first, second, third, 'no id']) taken.push(await work(tx, id))
      })
      expectEqual(taken, [true, false, false, false], 'whether each was to be retried, of this projection')
      const { closed, retryAsked } = (await letters.find(first, never())) ?? {}
      expectEqual(
        [closed?.as, closed?.who, closed?.why, retryAsked?.who],
        ['retried', ASKER.who, ASKER.why, ASKER.who],
        'how it was closed, and who had asked',
      )
      const again: boolean[] = []
      await store.advance(move('5', '5'), async (tx) => void again.push(await work(tx, first)))
      expectEqual(again, [false], 'whether it is retried twice')
      expectEqual(
        await letters.retryStates([first, second, third, 'no id'], never()),
        [
          { id: first, state: 'retried' },
          { id: second, state: 'asked' },
          { id: third, state: 'open' },
        ],
        'what has become of each',
      )
      const [open] = (await letters.counts(never())).filter(({ projection }) => projection === ALL.projection)
      expectEqual(open?.open, 2, 'how many of them are open')
      await expectPosition(store, '5', 'the checkpoint')
    },
  },
  {
    name: 'a dead letter that was retried in vain is open and asked for no more, with its newest error',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await fiveLetters(await owner(fixture))
      const letters = deadLettersOf(store)
      const [first = ''] = await idsOf(store)
      const page = { limit: 10 }
      const asked = await letters.askRetry({ filter: { projection: ALL.projection }, page }, ASKER, never())
      expectEqual(asked.length, 3, 'how many are asked for')
      const error = { name: 'RangeError', message: 'newer' }
      await store.advance(move('5', '5'), (tx) => letters.retryFailed(tx, ALL, first, error))
      const { tries, error: kept, closed, retryAsked } = (await letters.find(first, never())) ?? {}
      expectEqual(
        [tries, kept, closed, retryAsked],
        [LETTER.tries + 1, error, undefined, undefined],
        'the letter',
      )
      expectEqual((await letters.nextRetry(ALL, never()))?.id, asked[1], 'the next one')
    },
  },
  {
    name: 'of dead letters with one key the first is retried first, and the one behind it follows when it is closed',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await owner(fixture)
      await store.open(ALL, FIRST, never())
      for (const [at, key] of ['a', 'b', 'a', 'a'].entries()) {
        await buryAt(store, at === 0 ? undefined : String(at), String(at + 1), { ...LETTER, key })
      }
      const letters = deadLettersOf(store)
      const ids = await idsOf(store)
      const [first = '', other = '', second = '', third = ''] = ids
      const states = async (): Promise<readonly string[]> =>
        (await letters.retryStates(ids, never())).map(({ state }) => state)
      await letters.askRetry({ ids: [second] }, ASKER, never())
      expectEqual(
        await states(),
        ['open', 'open', 'behind', 'behind'],
        'the states after one behind was asked for',
      )
      expectEqual(await letters.nextRetry(ALL, never()), undefined, 'the next one then')
      await letters.askRetry({ ids }, ASKER, never())
      expectEqual(await states(), ['asked', 'asked', 'asked', 'asked'], 'the states after all were asked for')
      await letters.close([other], CLOSING, never())
      const retried: (string | undefined)[] = []
      await store.advance(move('4', '4'), async (tx) => {
        await (await letters.takeRetry(tx, ALL, first))?.close()
      })
      retried.push((await letters.nextRetry(ALL, never()))?.id)
      await letters.close([second], CLOSING, never())
      retried.push((await letters.nextRetry(ALL, never()))?.id)
      expectEqual(retried, [second, third], 'the next one after each of its key was closed')
    },
  },
  {
    name: 'a key is parked while a dead letter of it is open, and what is parked behind the last one is asked for when that is closed',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const letters = deadLettersOf(store)
      await buryAt(store, undefined, '1', { ...LETTER, key: `it's` })
      const park = async (from: string, to: string, keys: readonly string[]): Promise<readonly string[]> => {
        let found: readonly string[] = []
        await other.advance(move(from, to), async (tx) => {
          const parked = await deadLettersOf(other).parkedKeys(tx, ALL, [`it's`, 'b'])
          found = [...parked.keys]
          const parts = keys.map((key) => ({
            ...LETTER,
            stage: 'parked' as const,
            tries: 0,
            key,
            firstPosition: to,
          }))
          if (parts.length > 0) await parked.park(parts)
        })
        return found
      }
      expectEqual(await park('1', '2', [`it's`, `it's`]), [`it's`], 'the keys that are parked')
      const [first = '', second = '', third = ''] = await idsOf(store)
      expectEqual(
        await letters.nextRetry(ALL, never()),
        undefined,
        'the next one to retry, before any is asked for',
      )
      const parked = await letters.find(second, never())
      expectEqual(
        [parked?.stage, parked?.tries, parked?.key],
        ['parked', 0, `it's`],
        'the letter that is parked',
      )
      await letters.close([first], CLOSING, never())
      expectEqual(
        (await letters.nextRetry(ALL, never()))?.id,
        second,
        'the next one to retry, after the first is closed',
      )
      await letters.close([second, third], CLOSING, never())
      expectEqual(await park('2', '3', ['b', 'b']), [], 'the keys that are parked, after all are closed')
      const states = await letters.retryStates((await idsOf(store)).slice(3), never())
      expectEqual(
        states.map(({ state }) => state),
        ['asked', 'asked'],
        'the states of what is parked while nothing of its key is open',
      )
      const [open] = await letters.counts(never())
      expectEqual(open?.open, 2, 'how many are open')
    },
  },
]

const ASKER = { who: 'Ada "L"', why: `it's mended` }

async function buryAt<Tx>(
  store: CheckpointStore<Tx>,
  from: string | undefined,
  to: string,
  letter: NewDeadLetter,
  unit = ALL,
): Promise<void> {
  await store.advance(move(from, to, { unit }), (tx) => deadLettersOf(store).bury(tx, unit, letter))
}

/** Those at 1, 3 and 5 are of one projection, and those at 2 and 4 of another. */
async function fiveLetters<Tx>(store: CheckpointStore<Tx>): Promise<CheckpointStore<Tx>> {
  const second = wholeUnit('second')
  for (const unit of [ALL, second]) await store.open(unit, FIRST, never())
  for (const at of [1, 2, 3, 4, 5]) {
    const from = at > 2 ? String(at - 2) : undefined
    const letter = { ...LETTER, firstPosition: String(at), eventTypes: [`type ${at}`] }
    await buryAt(store, from, String(at), letter, at % 2 === 0 ? second : ALL)
  }
  return store
}

async function idsOf<Tx>(store: CheckpointStore<Tx>): Promise<readonly string[]> {
  return (await deadLettersOf(store).list({}, { limit: 100 }, never())).map(({ id }) => id)
}
