import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import type {
  AuditEntry,
  Control,
  ControlledUnit,
  OperatorControl,
  UnitChange,
} from '../../../ports/control.ts'
import { wholeUnit } from '../../../ports/unit.ts'
import { expectCode, expectEqual, expectThat, rejectionOf, within } from '../expectations.ts'
import { needed } from '../suite.ts'
import { LETTER } from './dead-letters.ts'
import {
  ALL,
  type CheckpointStoreRule,
  CONFLICT,
  deadLettersOf,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owners,
  SOURCE,
} from './fixture.ts'

const NEEDS = 'follows_operators'
const BUSY = 'TIDEMARK_CHECKPOINT_BUSY'
const PAUSED = 'TIDEMARK_PROJECTION_PAUSED'
const BY = { who: "o'neill", why: 'the mail server \\ "mx1" is down' }

export function controlOf<Tx>(store: CheckpointStore<Tx>): Control<Tx> {
  return needed(store.control, 'control', NEEDS)
}

/** At most this long for the batch at hand. */
function limits(timeoutMs = 10_000): { readonly timeoutMs: number; readonly signal: AbortSignal } {
  return { timeoutMs, signal: never() }
}

/** Pauses what runs. */
export function pausing(found: ControlledUnit | undefined): UnitChange | undefined {
  if (found === undefined || found.desired === 'paused') return undefined
  return { operation: 'pause', ...BY, to: { ...found, desired: 'paused' } }
}

function resuming(found: ControlledUnit | undefined): UnitChange | undefined {
  if (found === undefined || found.desired === 'running') return undefined
  return { operation: 'resume', ...BY, to: { ...found, desired: 'running' } }
}

const REQUEST = { id: 'r-1', operation: 'rebuild', ...BY } as const
const FULFIL = { unit: ALL, id: REQUEST.id, incarnation: undefined, signal: never() } as const
const PASSED = { reason: 'apply_error', stored: '2', current: '2', count: 1n } as const

const asking = (found: ControlledUnit | undefined): UnitChange | undefined => found && { ask: REQUEST }

/** `control`, and how `advance` follows it. */
export const CONTROL_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a unit is to run until an operator says otherwise, and what was said is kept with who, why and when',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const [first] = await controlOf(store).units({}, never())
      expectEqual(
        { desired: first?.desired, decision: first?.decision },
        { desired: 'running', decision: undefined },
        'what is wanted of a unit that nobody has paused',
      )
      await controlOf(other).change(ALL, pausing, limits())
      const [paused] = await controlOf(store).units({}, never())
      expectEqual(
        { desired: paused?.desired, who: paused?.decision?.who, why: paused?.decision?.why },
        { desired: 'paused', ...BY },
        'what is wanted of a unit that another process has paused',
      )
      expectThat((paused?.decision?.sinceMs ?? 0) > 1_600_000_000_000, 'it says since when', paused)
    },
  },
  {
    name: 'a checkpoint tells as it is opened what operators have decided last, so that whatever they decide later is news',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const { decided } = await store.open(ALL, FIRST, never())
      expectEqual(decided, { atMs: undefined, answered: undefined }, 'what was decided of a new unit')
      await controlOf(other).change(ALL, pausing, limits())
      await controlOf(other).change(ALL, asking, limits())
      await controlOf(other).fulfil(FULFIL, async () => ({ refused: 'it has no reset' }))
      const [unit] = await controlOf(store).units({}, never())
      const opened = await store.open(ALL, FIRST, never())
      expectEqual(
        opened.decided,
        { atMs: unit?.decision?.sinceMs, answered: REQUEST.id },
        'what was decided, as the checkpoint tells it',
      )
    },
  },
  {
    name: 'dead letters whose events are handed out again are closed with what leads to it, and no others',
    needs: NEEDS,
    check: async (fixture, capabilities) => {
      if (!capabilities.includes('keeps_dead_letters')) return
      const [store, other] = await owners(fixture)
      const another = wholeUnit('another')
      await store.open(another, FIRST, never())
      for (const unit of [ALL, another]) {
        await store.advance(move(undefined, '3', { unit }), async (tx) => {
          for (const position of ['1', '2', '3']) {
            const at = { firstPosition: position, lastPosition: position, key: 'k' }
            await deadLettersOf(store).bury(tx, unit, { ...LETTER, ...at })
          }
        })
      }
      const states = async (projection: string): Promise<readonly (string | undefined)[]> => {
        const found = await deadLettersOf(other).list({ projection }, { limit: 10 }, never())
        return found.map(({ closed }) => closed && `${closed.as} by ${closed.who}`)
      }
      const replayed = `replayed by ${BY.who}`
      const closing = { as: 'replayed', ...BY } as const
      const control = controlOf(store)
      await control.change(
        ALL,
        (found) =>
          found && {
            operation: 'move',
            ...BY,
            to: { ...found, position: '2' },
            closes: { isMeant: ({ firstPosition }) => firstPosition === '3', closing },
          },
        limits(),
      )
      expectEqual(await states('all'), [undefined, undefined, replayed], 'the letters after a move back')
      await control.change(ALL, asking, limits())
      const closes = { isMeant: () => true, closing }
      await rejectionOf(
        control.fulfil(FULFIL, () => Promise.reject(new Error('reset has failed'))),
        'a rebuild whose reset fails',
      )
      expectEqual(await states('all'), [undefined, undefined, replayed], 'the letters after it')
      await control.fulfil(FULFIL, async (_, found) => ({ to: { ...found, position: undefined }, closes }))
      expectEqual(await states('all'), [replayed, replayed, replayed], 'the letters after a rebuild')
      expectEqual(await states('another'), [undefined, undefined, undefined], 'those of another projection')
      const open = await deadLettersOf(store).counts(never())
      expectEqual(
        open.map((each) => [each.projection, each.open]),
        [['another', 3]],
        'the counts',
      )
    },
  },
  {
    name: 'the checkpoint of a paused unit does not move, by no owner and without work, until it is resumed',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3'), noWork)
      await controlOf(other).change(ALL, pausing, limits())
      let works = 0
      for (const each of [store, other]) {
        const advancing = each.advance(move('3', '4'), async () => void works++)
        await expectCode(advancing, PAUSED, 'an advance of a paused unit')
      }
      expectEqual(works, 0, 'how often the work was done')
      await expectPosition(other, '3', 'the checkpoint of the paused unit')
      await controlOf(other).change(ALL, resuming, limits())
      await store.advance(move('3', '4'), noWork)
      await expectPosition(other, '4', 'the checkpoint of the unit that was resumed')
    },
  },
  {
    name: 'units are paused by themselves, and found by source, projection and what is wanted of them',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const second = wholeUnit('second')
      const elsewhere = wholeUnit('elsewhere')
      await store.open(second, FIRST, never())
      await store.open(elsewhere, { ...FIRST, source: 'other events' }, never())
      for (const unit of [second, elsewhere]) await controlOf(store).change(unit, pausing, limits())
      await store.advance(move(undefined, '3'), noWork)
      const found = async (filter: Parameters<OperatorControl['units']>[0]): Promise<string[]> =>
        (await controlOf(store).units(filter, never())).map(({ unit }) => unit.projection).sort()
      expectEqual(await found({}), ['all', 'elsewhere', 'second'], 'every unit')
      expectEqual(await found({ desired: 'paused' }), ['elsewhere', 'second'], 'the paused ones')
      expectEqual(await found({ source: SOURCE, desired: 'paused' }), ['second'], 'those of the source')
      expectEqual(await found({ projection: 'all' }), ['all'], 'those of the projection')
    },
  },
  {
    name: 'a change waits for the batch at hand, and no later one commits against it',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      let pausedAt: string | undefined
      let changing: Promise<unknown> | undefined
      await store.advance(move(undefined, '3'), async () => {
        changing = controlOf(other).change(
          ALL,
          (found) => {
            pausedAt = found?.position
            return pausing(found)
          },
          limits(),
        )
      })
      await within(changing ?? Promise.reject(new Error('the work was not done')), 'a change behind a batch')
      expectEqual(pausedAt, '3', 'where the unit stood when it was decided to pause it')
      await expectCode(store.advance(move('3', '4'), noWork), PAUSED, 'an advance after the answer')
    },
  },
  {
    name: 'a change that would wait for too long is given up, and changes nothing',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3'), async () => {
        const changing = controlOf(other).change(ALL, pausing, limits(50))
        await expectCode(changing, BUSY, 'a change behind a batch that goes on')
      })
      expectEqual(await controlOf(store).audit({ limit: 10 }, never()), [], 'the audit')
      await store.advance(move('3', '4'), noWork)
    },
  },
  {
    name: 'of callers that ask at once each decides on what the one before has stored',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const asked = Array.from({ length: 10 }, (_, n) =>
        controlOf(n % 2 === 0 ? store : other).change(ALL, pausing, limits()),
      )
      const entries = (await within(Promise.all(asked), 'ten changes at once')).filter(
        (entry) => entry !== undefined,
      )
      expectEqual(entries.length, 1, 'how many of ten have paused it')
      const audit = await controlOf(store).audit({ limit: 10 }, never())
      expectEqual(audit.map(idOf), entries.map(idOf), 'the audit')
    },
  },
  {
    name: 'a change that is not decided changes nothing, nor does one of a unit that is not there',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const refused = new Error('not like this')
      const refusing = (): never => {
        throw refused
      }
      const error = await rejectionOf(controlOf(store).change(ALL, refusing, limits()), 'a refused change')
      expectThat(Object.is(error, refused), 'it is the very error of the decision', error)
      let found: unknown = 'not asked'
      const none = await controlOf(store).change(
        wholeUnit('nobody'),
        (unit) => {
          found = unit
          return undefined
        },
        limits(),
      )
      expectEqual([none, found], [undefined, undefined], 'a change of a unit that is not there')
      expectEqual(await controlOf(store).audit({ limit: 10 }, never()), [], 'the audit')
      await store.advance(move(undefined, '3'), noWork)
    },
  },
  {
    name: 'a unit is moved and forgotten, and the audit says what was there before and after',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3'), noWork)
      await controlOf(other).change(
        ALL,
        (found) => found && { operation: 'move', ...BY, to: { ...found, position: '2' } },
        limits(),
      )
      await expectPosition(store, '2', 'the checkpoint that an operator has moved')
      await expectCode(store.advance(move('3', '4'), noWork), CONFLICT, 'an advance from where it was')
      await controlOf(other).change(ALL, () => ({ operation: 'forget', ...BY, to: undefined }), limits())
      expectEqual(await store.read(ALL, never()), undefined, 'the unit that was forgotten')
      const audit = await controlOf(store).audit({ limit: 10 }, never())
      expectEqual(
        audit.map(({ unit, source, operation, who, why, before, after }) => ({
          of: [unit.projection, source, operation, who, why],
          positions: [before.position, after?.position],
          isGone: after === undefined,
        })),
        [
          { of: ['all', SOURCE, 'forget', BY.who, BY.why], positions: ['2', undefined], isGone: true },
          { of: ['all', SOURCE, 'move', BY.who, BY.why], positions: ['3', '2'], isGone: false },
        ],
        'the audit, the newest first',
      )
    },
  },
  {
    name: 'the audit is read in pages, the newest first, of every unit or of one projection or source',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const second = wholeUnit('second')
      await store.open(second, { ...FIRST, source: 'other events' }, never())
      for (const change of [pausing, resuming]) {
        for (const unit of [ALL, second]) await controlOf(store).change(unit, change, limits())
      }
      const page = async (filter: Parameters<OperatorControl['audit']>[0]): Promise<readonly AuditEntry[]> =>
        await controlOf(store).audit(filter, never())
      const told = (entries: readonly AuditEntry[]): string[] =>
        entries.map(({ unit, operation }) => `${operation} ${unit.projection}`)
      const first = await page({ limit: 3 })
      expectEqual(told(first), ['resume second', 'resume all', 'pause second'], 'the first page')
      const rest = await page({ limit: 3, before: first.at(-1)?.id ?? 0n })
      expectEqual(told(rest), ['pause all'], 'the second page')
      const ofOne = told(await page({ limit: 9, projection: 'all' }))
      expectEqual(ofOne, ['resume all', 'pause all'], 'that of one projection')
      const ofSource = told(await page({ limit: 9, source: 'other events' }))
      expectEqual(ofSource, ['resume second', 'pause second'], 'that of one source')
    },
  },
  {
    name: 'what a node is asked to do is kept until one has done it, once, with its audit entry',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3', { passed: [PASSED] }), noWork)
      await controlOf(other).change(ALL, asking, limits())
      expectEqual(await controlOf(store).audit({ limit: 10 }, never()), [], 'the audit while it is pending')
      const [pending] = await controlOf(store).units({}, never())
      const { sinceMs = 0, ...asked } = pending?.asked ?? {}
      expectEqual(asked, REQUEST, 'what is asked of the unit')
      expectThat(sinceMs > 1_600_000_000_000, 'it says since when', sinceMs)
      const found: (string | undefined)[] = []
      const done = [store, other, store].map(async (each) =>
        controlOf(each).fulfil(FULFIL, async (_, unit) => {
          found.push(unit.position)
          return { to: { ...unit, position: undefined, skipped: {} } }
        }),
      )
      const entries = (await within(Promise.all(done), 'three nodes at once')).filter(Boolean)
      expectEqual(found, ['3'], 'where the unit stood when it was done')
      const [entry] = await controlOf(other).audit({ limit: 10, request: REQUEST.id }, never())
      expectEqual(
        [entry?.id],
        entries.map((each) => each?.id),
        'the audit',
      )
      expectEqual(
        [entry?.operation, entry?.who, entry?.why, entry?.request, entry?.refused],
        [REQUEST.operation, REQUEST.who, REQUEST.why, REQUEST.id, undefined],
        'its audit entry',
      )
      const after = await expectPosition(other, undefined, 'the checkpoint after it')
      expectEqual(after?.skipped, {}, 'what it has skipped')
      const [unit] = await controlOf(store).units({}, never())
      const { id, operation } = REQUEST
      expectEqual([unit?.asked, unit?.answered], [undefined, { id, operation }], 'what is asked after it')
      await store.advance(move(undefined, '1'), noWork)
    },
  },
  {
    name: 'what is asked of a paused unit is done, and the unit stays paused',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      for (const change of [pausing, asking]) await controlOf(store).change(ALL, change, limits())
      await controlOf(store).fulfil(FULFIL, async (_, unit) => ({ to: unit }))
      const [unit] = await controlOf(store).units({}, never())
      expectEqual([unit?.desired, unit?.asked], ['paused', undefined], 'what is wanted of it')
    },
  },
  {
    name: 'where doing it fails nothing is changed, and it is still asked for; refused, it is not, and the audit says why',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3'), noWork)
      await controlOf(other).change(ALL, asking, limits())
      const failed = new Error('no such table')
      const failing = controlOf(store).fulfil(FULFIL, async () => {
        throw failed
      })
      const error = await rejectionOf(failing, 'work that fails')
      expectThat(Object.is(error, failed), 'it is the very error of the work', error)
      const [unit] = await controlOf(other).units({}, never())
      expectEqual([unit?.position, unit?.asked?.id], ['3', REQUEST.id], 'the unit after it')
      const entry = await controlOf(other).fulfil(FULFIL, async () => ({ refused: "no table o'clock" }))
      expectEqual([entry?.refused, entry?.after?.position], ["no table o'clock", '3'], 'its audit entry')
      const again = await controlOf(other).fulfil(FULFIL, async (_, found) => ({ to: found }))
      expectEqual(again, undefined, 'what is done of a request that has ended')
    },
  },
  {
    name: 'a request keeps the position that it is about; what is buried with it counts where it is done, not where that fails',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3'), noWork)
      const request = { ...REQUEST, operation: 'skip', position: '4' } as const
      await controlOf(other).change(ALL, (found) => found && { ask: request }, limits())
      const [pending] = await controlOf(store).units({}, never())
      expectEqual(pending?.asked?.position, '4', 'the position that it is about')
      const failed = new Error('no such table')
      const passed = { reason: 'apply_error', stored: '4', current: '4', count: 1n } as const
      const skip = async (isFailing: boolean): Promise<AuditEntry | undefined> =>
        await controlOf(store).fulfil(FULFIL, async (tx, found) => {
          await store.deadLetters?.bury(tx, ALL, LETTER)
          if (isFailing) throw failed
          return { to: { ...found, position: '4', skipped: { apply_error: passed.count } } }
        })
      await rejectionOf(skip(true), 'a skip that fails')
      const letters = async (): Promise<unknown> => await store.deadLetters?.list({}, { limit: 9 }, never())
      expectEqual(await letters(), store.deadLetters && [], 'the letters after a skip that has failed')
      const entry = await skip(false)
      expectEqual(
        [entry?.operation, entry?.before.position, entry?.after?.position],
        ['skip', '3', '4'],
        'its audit entry',
      )
      const after = await expectPosition(other, '4', 'the checkpoint after it')
      expectEqual(after?.skipped, { apply_error: 1n }, 'what it has skipped')
      const found = (await store.deadLetters?.list({}, { limit: 9 }, never())) ?? []
      expectEqual(found.length, store.deadLetters === undefined ? 0 : 1, 'how many letters there are')
    },
  },
  {
    name: 'nothing that was asked is done while another owner works on the unit',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await controlOf(other).change(ALL, asking, limits())
      let done: unknown = 'not tried'
      await store.advance(move(undefined, '3'), async () => {
        done = await controlOf(other).fulfil(FULFIL, async (_, unit) => ({ to: unit }))
      })
      expectEqual(done, undefined, 'what was done while the unit was at work')
      const [unit] = await controlOf(store).units({}, never())
      expectEqual(unit?.asked?.id, REQUEST.id, 'what is asked of it')
    },
  },
]

const idOf = ({ id }: AuditEntry): bigint => id
