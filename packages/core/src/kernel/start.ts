import { whenAborted } from './deferred.ts'
import { InvalidOptionError } from './errors.ts'
import { requireKnownOptions } from './known-options.ts'

/** Of `start()` of a daemon and of a high-water agent. */
export interface StartOptions {
  /**
   * Stops it when it fires, as `stop()` does, whether it has started by then or not. A start that is under way then rejects
   * with the signal's reason, once all is stopped.
   * - Change it when: something else in the process, as a server or a job, says when all of it ends.
   * @default none
   */
  readonly signal?: AbortSignal
}

const START_OPTIONS: Readonly<Record<keyof StartOptions, true>> = { signal: true }

export function requireStartOptions(options: StartOptions): void {
  requireKnownOptions(options, START_OPTIONS)
  const { signal } = options
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal)
  }
}

/** What is started: `over` resolves when it has stopped, for whatever reason. */
interface Startable {
  readonly begin: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly over: Promise<void>
}

/** Begins, and stops when `signal` fires. Leaves no listener on the signal once it is over. */
export async function startUntil({ signal }: StartOptions, { begin, stop, over }: Startable): Promise<void> {
  if (signal === undefined) return await begin()
  const aborted = whenAborted(signal)
  const stopped = aborted.promise.then(stop)
  void over.then(aborted.dispose)
  await Promise.race([begin(), aborted.promise])
  if (!signal.aborted) return
  await stopped
  throw signal.reason
}
