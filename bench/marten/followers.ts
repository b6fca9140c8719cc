import { createDaemon } from '@tidemark/core'
import { marten, type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'
import { machineNowMs } from '../mark/writers-protocol.ts'
import { asRole } from '../support/database.ts'
import type { MartenProgram, MartenSettings } from './program.ts'

/** One that follows Marten's events, as a role of its own, so that its statements are told apart. */
export interface Follower {
  readonly name: 'Marten' | 'Tidemark'
  readonly role: string
  /** When the event of each number was handled, by the machine's monotonic clock. */
  readonly handledAtMs: ReadonlyMap<number, number>
  stop(): Promise<void>
}

export const ROLES = { Marten: 'marten', Tidemark: 'tidemark' } as const

/** Creates Marten's tables too. */
export async function startMarten(
  program: MartenProgram,
  settings: MartenSettings,
  server: EmbeddedPostgres,
  database: string,
): Promise<Follower> {
  const handledAtMs = new Map<number, number>()
  const { stop } = await program.start(
    ['follow', forNpgsql(server, database, ROLES.Marten), settings],
    ({ n, atMs }) => handledAtMs.set(n, atMs),
  )
  return { name: 'Marten', role: ROLES.Marten, handledAtMs, stop }
}

/** Its defaults. */
export async function startTidemark(server: EmbeddedPostgres, database: string): Promise<Follower> {
  const handledAtMs = new Map<number, number>()
  const pool = new pg.Pool({ connectionString: asRole(server.connectionString(database), ROLES.Tidemark) })
  const daemon = createDaemon({
    // Marten 9 appends in mode QuickWithServerTimestamps unless it is told otherwise.
    source: postgresEvents({ pool, ...marten({ append: 'quick' }).events }),
    checkpoints: postgresCheckpoints({ pool }),
    projections: [
      {
        name: 'handled',
        handle: (rows: readonly PostgresRow[]) => {
          for (const { data } of rows) handledAtMs.set((data as { N: number }).N, machineNowMs())
        },
      },
    ],
  })
  await daemon.start()
  return {
    name: 'Tidemark',
    role: ROLES.Tidemark,
    handledAtMs,
    stop: async () => {
      await daemon.stop()
      await pool.end()
    },
  }
}

export function forNpgsql({ host, port }: EmbeddedPostgres, database: string, role: string): string {
  return `Host=${host};Port=${port};Username=${role};Database=${database}`
}
