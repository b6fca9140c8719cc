import { getEventListeners } from 'node:events'
import { expectEqual, rejectionOf, until, within } from '../expectations.ts'
import { needed } from '../suite.ts'
import {
  ALL,
  type CheckpointStoreFixture,
  type CheckpointStoreRule,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owner,
  owners,
} from './fixture.ts'

/** `prepare`, `read`, and `advance` of one owner. */
export const MOVE_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'prepare may run again and from several processes at once, and leaves checkpoints as they are',
    check: async (fixture) => {
      await Promise.all(Array.from({ length: 4 }, () => owner(fixture)))
      const store = await owner(fixture)
      await store.open(ALL, FIRST, never())
      await store.advance(move(undefined, '7'), noWork)
      await Promise.all(Array.from({ length: 2 }, () => owner(fixture)))
      await store.prepare?.(never())
      await expectPosition(store, '7', 'the checkpoint after prepare ran again')
    },
  },
  {
    name: 'a projection that was never read has processed and skipped nothing, whoever reads it first',
    check: async (fixture) => {
      const stores = await Promise.all([owner(fixture), owner(fixture), owner(fixture)])
      const found = await Promise.all(stores.map((store) => store.open(ALL, FIRST, never())))
      for (const { position, skipped } of found) {
        expectEqual(position, undefined, 'the position of a projection that was never read')
        const counted = Object.values(skipped).filter((count) => count !== 0n)
        expectEqual(counted, [], 'what it has skipped')
      }
    },
  },
  {
    name: 'a checkpoint that was moved stands there for every owner, and moves on from there',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      const advanced = await one.advance(move(undefined, '3'), noWork)
      expectEqual(advanced.position, '3', 'the position that advance resolves with')
      await expectPosition(one, '3', 'the checkpoint, for the owner that moved it')
      await expectPosition(two, '3', 'the checkpoint, for another owner')
      await two.advance(move('3', '12'), noWork)
      await expectPosition(one, '12', 'the checkpoint that the other owner has moved on')
    },
  },
  {
    name: 'the work is done once, and is over when advance resolves',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const steps: string[] = []
      await store.advance(move(undefined, '3'), async () => {
        steps.push('begun')
        await new Promise((resolve) => setImmediate(resolve))
        steps.push('over')
      })
      expectEqual(steps, ['begun', 'over'], 'what the work has done by then')
    },
  },
  {
    name: 'when the work fails the checkpoint stays, and its error comes out as it is',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      await store.advance(move(undefined, '3'), noWork)
      const failure = new Error('the handler failed')
      const advancing = store.advance(move('3', '9'), async () => {
        throw failure
      })
      expectEqual(
        (await rejectionOf(advancing, 'advance, its work failed')) === failure,
        true,
        'whether advance rejects with the very error of the work',
      )
      await expectPosition(store, '3', 'the checkpoint after work that failed')
      await store.advance(move('3', '9'), noWork)
      await expectPosition(store, '9', 'the checkpoint after the work was done again')
    },
  },
  {
    name: 'what the work writes is there with the checkpoint, and gone without it',
    needs: 'transactional_effects',
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const { write, written } = effectsOf(fixture)
      await store.advance(move(undefined, '3'), (tx) => write(tx, 'kept'))
      expectEqual(await written(), ['kept'], 'what was written with a checkpoint that moved')
      const failing = store.advance(move('3', '9'), async (tx) => {
        await write(tx, 'lost')
        throw new Error('the handler failed')
      })
      await rejectionOf(failing, 'advance, its work failed')
      expectEqual(await written(), ['kept'], 'what is written, after work that failed')
      await rejectionOf(
        other.advance(move(undefined, '5'), (tx) => write(tx, 'twice')),
        'advance of an owner that is too late',
      )
      expectEqual(await written(), ['kept'], 'what is written, after an owner that was too late')
    },
  },
  {
    name: 'what the work writes cannot be seen before the checkpoint has moved',
    needs: 'transactional_effects',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const { write, written } = effectsOf(fixture)
      let during: readonly string[] = []
      await store.advance(move(undefined, '3'), async (tx) => {
        await write(tx, 'together')
        during = await written()
      })
      expectEqual(during, [], 'what others see of it while the work goes on')
      expectEqual(await written(), ['together'], 'what others see of it once the checkpoint has moved')
    },
  },
  {
    name: 'an advance whose signal has fired does no work and moves nothing',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      let worked = false
      const advancing = store.advance(
        move(undefined, '3', { signal: AbortSignal.abort(new Error('stopped before')) }),
        async () => {
          worked = true
        },
      )
      await rejectionOf(advancing, 'advance with a fired signal')
      expectEqual(worked, false, 'whether the work was done')
      await expectPosition(store, undefined, 'the checkpoint')
    },
  },
  {
    name: 'what the work writes once its signal has fired is never there, and the store says so (isTransactional)',
    needs: 'transactional_effects',
    check: async (fixture) => {
      const { write, written } = effectsOf(fixture)
      const [store, other] = await owners(fixture)
      expectEqual(store.isTransactional, true, 'isTransactional')
      const stop = new AbortController()
      let late: Promise<void> | undefined
      const advancing = store.advance(move(undefined, '3', { signal: stop.signal }), async (tx) => {
        await write(tx, 'before')
        stop.abort(new Error('stopped'))
        late = write(tx, 'after').catch(() => {})
        await late
      })
      await rejectionOf(advancing, 'advance, its signal fired under way')
      await within(Promise.resolve(late), 'a write after the signal has fired')
      expectEqual(await written(), [], 'what is there of an advance that was given up')
      await expectPosition(other, undefined, 'the checkpoint after an advance that was given up')
    },
  },
  {
    name: 'an advance leaves nothing behind on a signal that outlives it',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const { signal } = new AbortController()
      await store.advance(move(undefined, '3', { signal }), noWork)
      const failing = store.advance(move('3', '4', { signal }), async () => {
        throw new Error('the handler failed')
      })
      await rejectionOf(failing, 'advance, its work failed')
      expectEqual(getEventListeners(signal, 'abort').length, 0, 'how many listeners are left on the signal')
    },
  },
  {
    name: 'an advance whose signal fires does not wait for its work, and what the work still does moves nothing',
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const stop = new AbortController()
      let goOn = (): void => {}
      const hanging = new Promise<void>((resolve) => {
        goOn = resolve
      })
      const advancing = store.advance(move(undefined, '3', { signal: stop.signal }), async () => {
        await new Promise((resolve) => setImmediate(resolve))
        stop.abort(new Error('stopped'))
        await hanging
      })
      await rejectionOf(advancing, 'advance, its signal fired under way')
      goOn()
      await new Promise((resolve) => setImmediate(resolve))
      await expectPosition(other, undefined, 'the checkpoint after an advance that was given up')
      // The store may take a while to see that its transaction is gone.
      await until(
        () =>
          other.advance(move(undefined, '4'), noWork).then(
            () => true,
            () => false,
          ),
        (moved) => moved,
        'another owner can move the checkpoint',
      )
      await expectPosition(store, '4', 'the checkpoint that the other owner has moved')
    },
  },
]

export function effectsOf<Tx>({ write, written }: CheckpointStoreFixture<Tx>): {
  readonly write: (tx: Tx, text: string) => Promise<void>
  readonly written: () => Promise<readonly string[]>
} {
  return {
    write: needed(write, 'write', 'transactional_effects'),
    written: needed(written, 'written', 'transactional_effects'),
  }
}
