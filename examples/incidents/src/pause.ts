import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves after `ms`. Rejects as soon as `signal` fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal })
}

/** Rejects after a minute, and as soon as `signal` fires. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = performance.now() + 60_000
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`a minute has passed, and not yet: ${what}`)
    await pause(200, signal)
  }
}
