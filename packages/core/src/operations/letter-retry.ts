import { systemClock } from '../kernel/clock.ts'
import { WaitTimeoutError } from '../kernel/errors.ts'
import type { OperatorControl } from '../ports/control.ts'
import type { DeadLetters, RetryState } from '../ports/dead-letters.ts'
import type { ResolvedRetry } from './letter-requests.ts'

/** The ids of the letters that were chosen, by what has become of them. */
export interface RetryOutcome {
  /** Their handler has handled them. */
  readonly retried: readonly string[]
  /** They have failed again, and stay open. */
  readonly failed: readonly string[]
  /** They were not tried: closed otherwise, or behind another of their key that is open. */
  readonly left: readonly string[]
}

interface Stores {
  readonly letters: Pick<DeadLetters<never>, 'askRetry' | 'retryStates'>
  readonly control: Pick<OperatorControl, 'units'>
}

/** Of letters that are asked for, or looked at, in one statement. */
const PAGE = 1_000
const LOOK_EVERY_MS = 200

/** Asks for all that are chosen, then waits until each is decided. See `DeadLetterOperations.retry`. */
export async function retryLetters(stores: Stores, request: ResolvedRetry): Promise<RetryOutcome> {
  const { letters } = stores
  const { timeoutMs, signal } = request
  const untilMs = performance.now() + timeoutMs
  const chosen = await askForAll(stores, request)
  const outcome = { retried: [] as string[], failed: [] as string[], left: [] as string[] }
  let waiting: readonly string[] = chosen
  while (waiting.length > 0) {
    const [looked, others] = [waiting.slice(0, PAGE), waiting.slice(PAGE)]
    const states = new Map((await letters.retryStates(looked, signal)).map(({ id, state }) => [id, state]))
    for (const id of looked) outcomeOf(states.get(id), outcome)?.push(id)
    const undecided = looked.filter((id) => states.get(id) === 'asked')
    waiting = [...undecided, ...others]
    if (undecided.length === 0) continue
    if (performance.now() >= untilMs) throw tooLate(timeoutMs, chosen.length, waiting.length, outcome)
    await systemClock.sleep(LOOK_EVERY_MS, signal)
    signal.throwIfAborted()
  }
  return outcome
}

/** The ids of the chosen. */
async function askForAll(
  { letters, control }: Stores,
  { chosen, who, why, signal }: ResolvedRetry,
): Promise<readonly string[]> {
  const asker = { who, why }
  if ('projection' in chosen) {
    const ids: string[] = []
    const units = await control.units({ projection: chosen.projection }, signal)
    // Of a version that is retired or forgotten nobody retries anything.
    const versions = units.filter(({ role }) => role !== 'retired').map(({ unit }) => unit.version)
    for (const version of new Set(versions)) {
      const filter = { ...chosen, version }
      let asked: readonly string[]
      let after: string | undefined
      do {
        asked = await letters.askRetry({ filter, page: { after, limit: PAGE } }, asker, signal)
        after = asked.at(-1)
        ids.push(...asked)
      } while (asked.length === PAGE)
    }
    return ids
  }
  const ids = [...new Set(chosen)]
  for (let from = 0; from < ids.length; from += PAGE) {
    await letters.askRetry({ ids: ids.slice(from, from + PAGE) }, asker, signal)
  }
  return ids
}

/** `undefined`: it is not decided. */
function outcomeOf(
  state: RetryState['state'] | undefined,
  { retried, failed, left }: Readonly<Record<keyof RetryOutcome, string[]>>,
): string[] | undefined {
  if (state === 'asked') return undefined
  if (state === 'retried') return retried
  return state === 'open' ? failed : left
}

function tooLate(
  timeoutMs: number,
  chosen: number,
  waiting: number,
  { retried, failed, left }: RetryOutcome,
): WaitTimeoutError {
  return new WaitTimeoutError(
    `of ${chosen} dead letters ${retried.length} were retried, ${failed.length} have failed again and ${left.length} were left ` +
      `within ${timeoutMs} ms; ${waiting} are still asked for, and a daemon that runs their projection retries them: see that one ` +
      'runs and that the projection is not paused, then ask again to wait on',
  )
}
