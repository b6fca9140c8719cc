import { createDaemon, type Daemon, type EventSource } from '@tidemark/core'
import { type EsdbEvent, esdbEvents } from '@tidemark/esdb-adapter'
import { type PgClient, postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, onTestFinished } from 'vitest'
import { seeded } from '../../chaos/seed.ts'
import { until } from '../../chaos/until.ts'
import type { Client } from '../client.ts'
import { steered } from '../server-in-use.ts'
import { type ChaosRig, chaosRig } from './rig.ts'
import { startWriter } from './writer.ts'

steered.each([
  ['$all', (client: Client) => esdbEvents({ client }) as EventSource<unknown, EsdbEvent>],
  [
    'a stream',
    (client: Client) => esdbEvents({ client, stream: 'orders' }) as EventSource<unknown, EsdbEvent>,
  ],
])(
  'a daemon over %s of a server that comes back without its log halts, and says that it went back',
  { timeout: 120_000 },
  async (_, open) => {
    const rig = await chaosRig('postgres')
    const writer = startWriter(rig, seeded('restored server'))
    const handled: number[] = []
    const start = daemonOf(rig, open, handled)
    const daemon = start()
    await daemon.start()
    await writer.append(500)
    await daemon.waitUntilProjected()
    const before = handled.length
    expect(before).toBeGreaterThan(0)

    await rig.server.restart({ keepLog: false })
    await writer.append(20)
    await until('polling is halted', () => daemon.status().highWater.state === 'halted')
    expect(daemon.status().highWater.error).toMatchObject({ code: 'TIDEMARK_STORE_REWOUND' })
    await expect(start().start()).rejects.toMatchObject({
      code: 'TIDEMARK_STORE_REWOUND',
      message: expect.stringContaining('the checkpoint of "restored"'),
    })

    // Now it looks as if nothing had ever happened.
    await writer.append(1_000)
    daemon.wake()
    await expect(daemon.waitUntilProjected()).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_FAILED' })
    expect(handled).toHaveLength(before)
  },
)

function daemonOf(
  { connect, pool }: ChaosRig,
  open: (client: Client) => EventSource<unknown, EsdbEvent>,
  handled: number[],
): () => Daemon<unknown> {
  return () => {
    const daemon = createDaemon<unknown, EsdbEvent, PgClient>({
      source: open(connect()),
      checkpoints: postgresCheckpoints({ pool }),
      projections: [{ name: 'restored', handle: (events) => void handled.push(...events.map(() => 1)) }],
    })
    onTestFinished(() => daemon.stop())
    return daemon
  }
}
