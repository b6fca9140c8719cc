import { readdir, readFile } from 'node:fs/promises'
import type pg from 'pg'

/** Linux counts in hundredths of a second. */
const TICKS_A_SECOND = 100
const SAMPLE_MS = 250

/** What the server has spent from `measureServer` to the call of what it returns. */
export interface ServerCost {
  /** Of the role's: how many there were as a rule, and at most. */
  readonly usual: number
  readonly most: number
  readonly statementsPerSecond: number
  /** Cores, all processes of the server. `NaN` where there is no /proc. */
  readonly cores: number
  /** Of the role's backends at the end, what they share counted in parts, in bytes. `NaN` where there is no /proc. */
  readonly backendBytes: number
}

export async function measureServer(
  admin: pg.Pool,
  role: string,
  postmasterPid: number,
): Promise<() => Promise<ServerCost>> {
  const counts: number[] = []
  const sample = async (): Promise<void> => void counts.push((await backends(admin, role)).length)
  const statementsBefore = await statements(admin, role)
  const cpuBefore = await serverCpuSeconds(postmasterPid)
  const beganMs = performance.now()
  await sample()
  const timer = setInterval(() => void sample(), SAMPLE_MS)
  return async () => {
    clearInterval(timer)
    const seconds = (performance.now() - beganMs) / 1_000
    const cpu = (await serverCpuSeconds(postmasterPid)) - cpuBefore
    const sent = (await statements(admin, role)) - statementsBefore
    const sizes = await Promise.all((await backends(admin, role)).map(shareOfMemory))
    const sorted = counts.toSorted((a, b) => a - b)
    return {
      usual: sorted[Math.floor(sorted.length / 2)] ?? 0,
      most: sorted.at(-1) ?? 0,
      statementsPerSecond: sent / seconds,
      cores: cpu / seconds,
      backendBytes: sizes.reduce((sum, size) => sum + size, 0),
    }
  }
}

async function backends(admin: pg.Pool, role: string): Promise<readonly number[]> {
  const { rows } = await admin.query<{ pid: number }>('select pid from pg_stat_activity where usename = $1', [
    role,
  ])
  return rows.map(({ pid }) => pid)
}

async function statements(admin: pg.Pool, role: string): Promise<number> {
  const { rows } = await admin.query<{ calls: string }>(
    `select coalesce(sum(s.calls), 0)::text as calls from pg_stat_statements s join pg_roles r on r.oid = s.userid
     where r.rolname = $1`,
    [role],
  )
  return Number(rows[0]?.calls)
}

/** Of the postmaster, of those that it has started, and of those of them that have ended (proc(5), fields 14 to 17). */
export async function serverCpuSeconds(postmasterPid: number): Promise<number> {
  const all = await readdir('/proc').catch(() => [])
  const stats = await Promise.all(
    all
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')),
  )
  let ticks = Number.NaN
  for (const stat of stats) {
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const own = Number(fields[11]) + Number(fields[12])
    const isPostmaster = stat.startsWith(`${postmasterPid} `)
    if (isPostmaster) ticks = (ticks || 0) + own + Number(fields[13]) + Number(fields[14])
    else if (fields[1] === String(postmasterPid)) ticks = (ticks || 0) + own
  }
  return ticks / TICKS_A_SECOND
}

async function shareOfMemory(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
  return Number(/^Pss: +(\d+) kB$/m.exec(rollup)?.[1] ?? Number.NaN) * 1024
}
