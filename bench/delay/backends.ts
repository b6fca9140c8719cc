import { readFile } from 'node:fs/promises'
import type pg from 'pg'

/** What the server has spent on one role until now. */
export interface Spent {
  readonly statements: number
  readonly cpuSecondsOf: ReadonlyMap<number, number>
}

/** Linux counts in hundredths of a second. */
const TICKS_A_SECOND = 100

export async function spentOn(admin: pg.Pool, role: string): Promise<Spent> {
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

/** Of the backends that there are at the end; what others have spent is left out. */
export function spentBetween(before: Spent, after: Spent): { statements: number; cpuSeconds: number } {
  let cpuSeconds = 0
  for (const [pid, seconds] of after.cpuSecondsOf) cpuSeconds += seconds - (before.cpuSecondsOf.get(pid) ?? 0)
  return { statements: after.statements - before.statements, cpuSeconds }
}

/** `NaN` where there is no /proc. Fields 14 and 15 of proc(5): time in user and in system mode. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND
}
