import { hasPgBouncer, startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { expect, onTestFinished, test } from 'vitest'
import { append } from './events.ts'
import { expectExact } from './oracle.ts'
import { untilOwned } from './owned-units.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'

const NAMES = ['all', 'second', 'third', 'fourth']

/** Whether another process had any of its units while its lease had not expired. Resolves when others have all of them. */
async function wasTakenEarly(store: ChaosStore, { pid }: DaemonProcess): Promise<boolean> {
  const client = await store.connect()
  let isEarly = false
  await until('others have all of its units', async () => {
    const { rows } = await client.query(
      `select count(*) filter (where o.name = $1)::int as left, count(*) filter (where o.name <> $1)::int as others,
         (select n.expires_at > clock_timestamp() from tidemark.nodes n where n.name = $1) as "isLeased"
       from tidemark.checkpoints c left join tidemark.nodes o on o.id = c.owner`,
      [String(pid)],
    )
    const { left, others, isLeased } = rows[0]
    isEarly ||= isLeased && left < NAMES.length / 2
    return left === 0 && others === NAMES.length
  })
  await client.end()
  return isEarly
}

test.skipIf(!hasPgBouncer)(
  'behind PgBouncer in transaction mode a process that is killed is replaced when its lease has expired, and nothing is lost or twice',
  async () => {
    const store = await chaosStore()
    const pooler = await startPgBouncer(store.server, { default_pool_size: '8' })
    onTestFinished(() => pooler.stop())
    const spawnNode = (): Promise<DaemonProcess> =>
      spawnDaemon({
        url: pooler.connectionString(),
        projections: NAMES.join(','),
        'lease-ms': '3000',
        'batch-size': '5',
        'handle-ms': '20',
      })
    let nodes = [await spawnNode(), await spawnNode()]
    for (const isInMidBatch of [false, true]) {
      await untilOwned(store, nodes, [2, 2])
      const [victim, other] = nodes
      if (victim === undefined || other === undefined) throw new Error('there are two')
      const { rows } = await store.query('select count(presence_pid)::int as seen from tidemark.nodes')
      expect(rows, 'a backend of the pooler makes nobody present').toEqual([{ seen: 0 }])
      await append(store, 30)
      if (isInMidBatch) {
        const handling = victim.says('handling')
        await append(store, 30)
        await handling
      } else
        await expectExact(
          NAMES.map((name) => ({ name })),
          store,
        )
      await victim.kill()
      await append(store, 30)
      expect(await wasTakenEarly(store, victim)).toBe(false)
      nodes = [other, await spawnNode()]
    }
    await expectExact(
      NAMES.map((name) => ({ name })),
      store,
    )
    for (const node of nodes) expect(await node.terminate()).toBe(0)
  },
)
