// Loaded here already, so that what a daemon still has to do to import it takes no real time.
import '@opentelemetry/api'
import type { FakeClock } from './fake-clock.ts'

const TURNS_OF_AN_IMPORT = 20

/** Starts a daemon or an agent whose first poll takes time of the clock's. */
export async function startOn(clock: FakeClock, started: { start(): Promise<void> }): Promise<void> {
  const starting = started.start()
  starting.catch(() => {})
  for (let turn = 0; turn < TURNS_OF_AN_IMPORT; turn++) await new Promise((resolve) => setImmediate(resolve))
  await clock.run(starting)
}
