import { readFile } from 'node:fs/promises'
import type pg from 'pg'
import { machineNowMs } from '../mark/writers-protocol.ts'

/** What a role costs the server. */
export interface Load {
  readonly statementsPerSecond: number
  /** Of one core, by the backends that there are at the end: what others have spent is left out. `NaN` where there is no /proc. */
  readonly cpuShare: number
  /** At the end. */
  readonly connections: number
}

/** Linux counts in hundredths of a second. */
const TICKS_A_SECOND = 100

/** Counts from now until the function that it returns is called. */
export async function measureLoad(admin: pg.Pool, role: string): Promise<() => Promise<Load>> {
  const before = await spentOn(admin, role)
  const beganMs = machineNowMs()
  return async () => {
    const seconds = (machineNowMs() - beganMs) / 1_000
    const after = await spentOn(admin, role)
    let cpuSeconds = 0
    for (const [pid, total] of after.cpuSecondsOf) cpuSeconds += total - (before.cpuSecondsOf.get(pid) ?? 0)
    return {
      statementsPerSecond: (after.statements - before.statements) / seconds,
      cpuShare: cpuSeconds / seconds,
      connections: after.cpuSecondsOf.size,
    }
  }
}

interface Spent {
  readonly statements: number
  readonly cpuSecondsOf: ReadonlyMap<number, number>
}

async function spentOn(admin: pg.Pool, role: string): Promise<Spent> {
  const { rows: counted } = await admin.query<{ calls: string }>(
    `select coalesce(sum(s.calls), 0)::text as calls from pg_stat_statements s join pg_roles r on r.oid = s.userid
     where r.rolname = $1`,
    [role],
  )
  const { rows } = await admin.query<{ pid: number }>('select pid from pg_stat_activity where usename = $1', [
    role,
  ])
  const cpu = await Promise.all(rows.map(async ({ pid }) => [pid, await cpuSeconds(pid)] as const))
  return { statements: Number(counted[0]?.calls), cpuSecondsOf: new Map(cpu) }
}

/** `NaN` where there is no /proc. Fields 14 and 15 of proc(5): time in user and in system mode. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND
}
