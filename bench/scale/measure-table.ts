import type pg from 'pg'
import { type Costs, MeasuredSource } from './measured-source.ts'
import { openWriter, rollBack, rollBackSome } from './tables.ts'

export interface HowOften {
  /** Polls, and pages. */
  readonly times: number
  /** Polls that look again at what was proven empty: 100 ms lie between two. */
  readonly looks: number
}

/** As many as a poll remembers. */
const RUNS = 100
/** Above an open writer's number. */
const EVENTS_ABOVE = 20

export const HEADINGS: readonly string[] = [
  'start, ms',
  'idle poll, CPU ms',
  'poll, ms',
  'CPU ms',
  'node CPU ms',
  'poll with a look, CPU ms',
  'page, ms',
  'CPU ms',
]

export function figuresOf({ startMs, probe, poll, look, page }: Costs): readonly (number | undefined)[] {
  return [
    startMs,
    probe?.serverCpuMs,
    poll.roundTripMs,
    poll.serverCpuMs,
    poll.nodeCpuMs,
    look.serverCpuMs,
    page?.roundTripMs,
    page?.serverCpuMs,
  ]
}

/** What a table costs that has events, and that nobody writes. */
export async function measureTable(
  pool: pg.Pool,
  connectionString: string,
  { times, looks }: HowOften,
): Promise<Costs> {
  const source = new MeasuredSource(connectionString)
  const startMs = await source.start()
  await rollBackSome(pool, RUNS)
  await source.poll()
  const probe = await source.pollCost(times)
  const page = await source.pageCost(times)
  const writer = await openWriter(pool, EVENTS_ABOVE)
  const poll = await source.pollCost(times)
  const look = await source.lookCost(looks)
  await rollBack(writer)
  await source.close()
  return { startMs, probe, poll, look, page }
}

/** The same where a writer is open already, and was before the source was started: nothing is idle, and there are no pages. */
export async function measureHeld(connectionString: string, { times, looks }: HowOften): Promise<Costs> {
  const source = new MeasuredSource(connectionString)
  const startMs = await source.start()
  const poll = await source.pollCost(times)
  const look = await source.lookCost(looks)
  await source.close()
  return { startMs, poll, look }
}
