import { AssertionError } from 'node:assert'
import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect, isDeepStrictEqual } from 'node:util'

/** Of the case that runs: it is asked for wherever something is waited for. */
const patience = new AsyncLocalStorage<number>()

/** Runs `work`, in which nothing that should come at once is waited for longer. */
export function withPatience<T>(ms: number, work: () => Promise<T>): Promise<T> {
  return patience.run(ms, work)
}

export function patienceMs(): number {
  const ms = patience.getStore()
  if (ms === undefined) throw new TypeError('only a case that runs has patience')
  return ms
}

export function expectThat(condition: boolean, claim: string, found?: unknown): void {
  if (condition) return
  const detail = found === undefined ? '' : `; found ${inspect(found)}`
  throw new AssertionError({ message: claim + detail, actual: found, operator: 'conformance' })
}

export function expectEqual(found: unknown, expected: unknown, claim: string): void {
  if (isDeepStrictEqual(found, expected)) return
  throw new AssertionError({
    message: `${claim}; found ${inspect(found)}, expected ${inspect(expected)}`,
    actual: found,
    expected,
    operator: 'conformance',
  })
}

/** What `promise` rejects with. */
export async function rejectionOf(promise: Promise<unknown>, claim: string): Promise<unknown> {
  let found: unknown
  try {
    found = await within(promise, claim)
  } catch (error) {
    if (error instanceof HungError) throw error
    return error
  }
  throw new AssertionError({
    message: `${claim}: it should reject, and resolved with ${inspect(found)}`,
    actual: found,
    operator: 'conformance',
  })
}

export async function expectCode(promise: Promise<unknown>, code: string, claim: string): Promise<void> {
  expectEqual(codeOf(await rejectionOf(promise, claim)), code, `${claim}: the code of its error`)
}

/** The stable code of an error; the error itself where it has none, so that a message shows it. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : error
}

class HungError extends Error {
  override readonly name = 'HungError'
}

/** Settles as `promise` does, and rejects when that hangs. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const over = new AbortController()
  const ms = patienceMs()
  const hung = delay(ms, undefined, { signal: over.signal }).then(() => {
    throw new HungError(`${what}: nothing happened within ${ms} ms`)
  })
  hung.catch(() => {})
  try {
    return await Promise.race([promise, hung])
  } finally {
    over.abort()
  }
}

const LOOK_EVERY_MS = 5

/** Looks again and again until `isDone`. */
export async function until<T>(
  look: () => Promise<T>,
  isDone: (found: T) => boolean,
  claim: string,
): Promise<T> {
  const giveUpAtMs = performance.now() + patienceMs()
  for (;;) {
    const found = await look()
    if (isDone(found)) return found
    expectThat(performance.now() < giveUpAtMs, `${claim}: not so within ${patienceMs()} ms`, found)
    await delay(LOOK_EVERY_MS)
  }
}
