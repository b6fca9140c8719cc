import { setTimeout as sleep } from 'node:timers/promises'
import { machineNowMs } from '../mark/writers-protocol.ts'

interface Pace {
  readonly perSecond: number
  readonly seconds: number
  /** So many at a time: a machine that cannot follow does less, and no queue is measured. */
  readonly most: number
}

/** Calls `work` as often, with 0, 1, 2 ... */
export async function paced(
  { perSecond, seconds, most }: Pace,
  work: (index: number) => Promise<unknown>,
): Promise<void> {
  const running = new Set<Promise<unknown>>()
  const startMs = machineNowMs()
  for (let index = 0; index < perSecond * seconds; index++) {
    const dueMs = startMs + (index * 1_000) / perSecond
    if (dueMs > machineNowMs()) await sleep(dueMs - machineNowMs())
    while (running.size >= most) await Promise.race(running)
    if (machineNowMs() > startMs + seconds * 1_000) break
    const one = work(index)
    running.add(one)
    void one.finally(() => running.delete(one))
  }
  await Promise.all(running)
}
