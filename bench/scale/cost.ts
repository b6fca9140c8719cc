import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { median } from '../support/statistics.ts'

/** What one call takes, in ms: the median of many. */
export interface Cost {
  readonly roundTripMs: number
  /** Of the backend that serves it; `NaN` where there is no /proc. */
  readonly serverCpuMs: number
  /** Of this process, over all of them: it is too little to be told for each. */
  readonly nodeCpuMs: number
}

export interface Repeat {
  readonly times: number
  /** Before each. @default 0 */
  readonly pauseMs?: number
}

/** A plan is chosen at the sixth execution of a statement, and is cheap from the seventh on. */
const WARM_UP = 12

export async function costOf(
  backendPid: number,
  { times, pauseMs = 0 }: Repeat,
  call: () => Promise<unknown>,
): Promise<Cost> {
  for (let n = 0; n < WARM_UP; n++) await afterPause(pauseMs, call)
  const trips: number[] = []
  const serverCpu: number[] = []
  let nodeCpuMs = 0
  let cpuBefore = await cpuMsOf(backendPid)
  for (let n = 0; n < times; n++) {
    if (pauseMs > 0) await sleep(pauseMs)
    const nodeBefore = process.cpuUsage()
    const beganMs = performance.now()
    await call()
    trips.push(performance.now() - beganMs)
    const { user, system } = process.cpuUsage(nodeBefore)
    nodeCpuMs += (user + system) / 1_000
    const cpuNow = await cpuMsOf(backendPid)
    serverCpu.push(cpuNow - cpuBefore)
    cpuBefore = cpuNow
  }
  return {
    roundTripMs: median(trips),
    serverCpuMs: median(serverCpu),
    nodeCpuMs: nodeCpuMs / times,
  }
}

async function afterPause(pauseMs: number, call: () => Promise<unknown>): Promise<void> {
  if (pauseMs > 0) await sleep(pauseMs)
  await call()
}

/** Time on a processor: the first field of schedstat, in nanoseconds. `NaN` where there is none. */
export async function cpuMsOf(pid: number): Promise<number> {
  const schedstat = await readFile(`/proc/${pid}/schedstat`, 'utf8').catch(() => '')
  return schedstat === '' ? Number.NaN : Number(schedstat.split(' ')[0]) / 1e6
}
