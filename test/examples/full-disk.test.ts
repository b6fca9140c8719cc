import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { toEvent } from '../../examples/jetstream-relay/src/event.ts'
import { relayProjection } from '../../examples/jetstream-relay/src/projection.ts'
import * as disks from '../chaos/small-disk.ts'
import { until } from '../chaos/until.ts'
import { append, committed } from './events.ts'
import * as nats from './nats.ts'
import { STREAM, setting } from './setting.ts'

test.skipIf(nats.isSkipped || disks.isSkipped)(
  `a broker whose disk is full is waited for, and nothing is passed or twice once it has room and was restarted${nats.because}${disks.because}`,
  async () => {
    const disk = disks.smallDisk()
    onTestFinished(() => disk.unmount())
    const all = await setting(undefined, { storage: disk.folder })
    const { database, broker, clients } = all
    const { pool } = database
    const daemon = createDaemon({
      source: postgresEvents({ pool, table: 'events', eventType: 'type', mapRow: toEvent }),
      checkpoints: postgresCheckpoints({ pool }),
      projections: [relayProjection(await all.relay())],
    })
    onTestFinished(() => daemon.stop())
    await daemon.start()
    await append(database, ['a', 'b', 'a'])
    await daemon.waitUntilProjected({ timeoutMs: 30_000 })

    disk.fill()
    await append(database, ['b', 'a', 'b'], 'x'.repeat(20_000))
    await until('it fails', () => daemon.status().projections[0]?.error)
    expect(daemon.status().projections[0]).toMatchObject({ position: 3n, skipped: {} })
    disk.free()
    await broker.stop('SIGKILL')
    await broker.start()
    await daemon.waitUntilProjected({ timeoutMs: 60_000 })
    const stored = await nats.storedIn(clients, STREAM)
    expect(stored.map(({ position }) => position)).toEqual(
      (await committed(database)).map(({ position }) => position),
    )
  },
)
