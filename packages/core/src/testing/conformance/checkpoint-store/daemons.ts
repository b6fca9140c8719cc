import { createDaemon, type Daemon } from '../../../daemon/daemon.ts'
import { inMemoryEvents } from '../../in-memory-events.ts'
import { expectEqual, patienceMs, until } from '../expectations.ts'
import type { CheckpointStoreFixture, CheckpointStoreRule } from './fixture.ts'
import { effectsOf } from './moves.ts'

const EVENTS = 60

/** Everything together: daemons over the store. */
export const DAEMON_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a daemon goes on where the one before it has stopped',
    check: async (fixture) => {
      const events = inMemoryEvents<number>({ name: 'numbers' })
      const seen: number[] = []
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 5; n++) events.append('Happened', round * 5 + n)
        const daemon = createDaemon({
          source: events,
          checkpoints: fixture.open(),
          projections: [
            { name: 'all', batchSize: 2, handle: (batch) => void seen.push(...batch.map((e) => e.data)) },
          ],
        })
        try {
          await daemon.start()
          await daemon.waitUntilProjected({ timeoutMs: patienceMs() })
        } finally {
          await daemon.stop()
        }
      }
      expectEqual(
        seen,
        Array.from({ length: 15 }, (_, n) => n),
        'what three daemons, one after the other, have handled',
      )
    },
  },
  {
    name: 'two daemons that come and go write the effects of every event once',
    needs: 'transactional_effects',
    check: async (fixture) => {
      const { written } = effectsOf(fixture)
      const events = inMemoryEvents<number>({ name: 'numbers' })
      let daemons = [daemonOver(fixture, events), daemonOver(fixture, events)]
      try {
        for (const daemon of daemons) await daemon.start()
        for (let n = 0; n < EVENTS; n++) {
          events.append('Happened', n)
          if (n % 20 !== 19) continue
          // The other one takes over.
          const [first, ...rest] = daemons
          await first?.stop()
          daemons = [...rest, daemonOver(fixture, events)]
          await daemons.at(-1)?.start()
        }
        await until(
          async () => (await written()).length,
          (count) => count >= EVENTS,
          `${EVENTS} events are projected`,
        )
      } finally {
        for (const daemon of daemons) await daemon.stop()
      }
      const effects = (await written()).map(Number).sort((a, b) => a - b)
      expectEqual(
        effects,
        Array.from({ length: EVENTS }, (_, n) => n),
        'the effects of the events',
      )
    },
  },
]

function daemonOver<Tx>(
  fixture: CheckpointStoreFixture<Tx>,
  events: ReturnType<typeof inMemoryEvents<number>>,
): Daemon<bigint> {
  const { write } = effectsOf(fixture)
  return createDaemon({
    source: events,
    checkpoints: fixture.open(),
    projections: [
      {
        name: 'all',
        batchSize: 3,
        handle: async (batch, { tx }) => {
          for (const { data } of batch) await write(tx, `${data}`)
        },
      },
    ],
    pollIntervalMs: 20,
  })
}
