import type { EventSource, FoundEvent, Gap } from '../ports/event-source.ts'

type Findable<P> = Required<Pick<EventSource<P, never>, 'findIn'>> & Pick<EventSource<P, never>, 'order'>

/** Of one run and one look. A run may hold many: it is looked at until there are no more. */
const MOST_OF_ONE_RUN = 1_000

/** All events that are visible in those runs, each once. */
export async function findAll<P>(
  source: Findable<P>,
  runs: readonly Gap<P>[],
  signal: AbortSignal,
): Promise<readonly FoundEvent<P>[]> {
  const found = new Map<string, FoundEvent<P>>()
  let left = runs
  while (left.length > 0) {
    const some = await source.findIn(left, MOST_OF_ONE_RUN, signal)
    for (const event of some) found.set(source.order.format(event.position), event)
    left = some.length < MOST_OF_ONE_RUN ? [] : left.flatMap((run) => rest(source, run, some))
  }
  return [...found.values()]
}

/** What was not looked at of a run that has more than was answered. Its first event was found before. */
function rest<P>(
  { order }: Findable<P>,
  { from, to }: Gap<P>,
  some: readonly FoundEvent<P>[],
): readonly Gap<P>[] {
  const own = some.filter(
    ({ position }) => order.compare(from, position) <= 0 && order.compare(position, to) <= 0,
  )
  const last = own.at(-1)
  return own.length < MOST_OF_ONE_RUN || last === undefined ? [] : [{ from: last.position, to }]
}
