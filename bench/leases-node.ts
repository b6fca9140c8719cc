// One node of several, in a process of its own: see takeover.ts and moves.ts.
import { type CheckpointStore, createDaemon, type Daemon, type HandlerContext } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { HeldGate } from './leases/held-gate.ts'
import type { NodeOrder } from './leases/protocol.ts'
import { answerQuestions } from './support/child.ts'

let gate: HeldGate | undefined
let stop = async (): Promise<void> => {}

// Of a parent that has ended.
process.once('disconnect', () => process.exit())
answerQuestions<NodeOrder>(async (order) => {
  switch (order.kind) {
    case 'wait':
      return {}
    case 'start':
      await start(order)
      return {}
    case 'hold':
      gate = new HeldGate(order.where, order.writes)
      await gate.full
      return {}
    case 'go_on': {
      const held = gate
      gate = undefined
      return held === undefined ? {} : { ...(await held.goOn()) }
    }
    case 'stop':
      await stop()
      return {}
  }
})

async function start({
  url,
  name,
  leaseMs,
  units,
}: Extract<NodeOrder, { readonly kind: 'start' }>): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 12 })
  // The server ends what is idle in a transaction for too long.
  pool.on('error', () => {})
  const daemon: Daemon<bigint> = createDaemon({
    source: postgresEvents({
      pool,
      table: 'events',
      mapRow: ({ position }) => String(position),
    }),
    checkpoints: holdingWrites(postgresCheckpoints({ pool })),
    projections: units.map((unit) => ({
      name: unit,
      handle: async (positions: readonly string[], { tx }: HandlerContext<pg.PoolClient>) => {
        await tx.query(
          'insert into handled (projection, position, node) select $1, p, $2 from unnest($3::bigint[]) p',
          [unit, name, positions],
        )
        if (gate?.where === 'within') await gate.wait()
      },
    })),
    nodes: { name, leaseMs },
    logger: { info: () => {}, warn: () => {}, error: console.error },
  })
  stop = async () => {
    await daemon.stop()
    await pool.end()
  }
  await daemon.start()
}

function holdingWrites(checkpoints: CheckpointStore<pg.PoolClient>): CheckpointStore<pg.PoolClient> {
  const advance = checkpoints.advance.bind(checkpoints)
  checkpoints.advance = async (request, work) => {
    const held = gate
    if (held === undefined) return await advance(request, work)
    const write = async () => {
      if (held.where === 'within') return await advance(request, work)
      await held.wait()
      return await advance({ ...request, signal: new AbortController().signal }, work)
    }
    return await held.outcomeOf(write())
  }
  return checkpoints
}
