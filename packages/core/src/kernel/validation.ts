import { LONGEST_TIMER_MS } from './clock.ts'
import { InvalidOptionError } from './errors.ts'

export function requireAbove0(option: string, value: unknown): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
    throw new InvalidOptionError(option, 'a number above 0', value)
  }
}

export function requireInteger(option: string, value: unknown, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new InvalidOptionError(option, `an integer of at least ${least}`, value)
  }
}

/** A whole number of milliseconds that a timer can wait. */
export function requireTimerMs(option: string, value: unknown, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > LONGEST_TIMER_MS) {
    throw new InvalidOptionError(option, `an integer from ${least} to ${LONGEST_TIMER_MS}`, value)
  }
}

/**
 * A longer name would break where it is stored: Postgres indexes at most 2,704 bytes, and Grafana Cloud cuts labels at
 * 2,048 characters. 255 characters are at most 765 bytes in UTF-8.
 */
const LONGEST_NAME = 255

/** What names a projection, or what consumes a subscription. */
export function requireName(option: string, name: unknown): void {
  if (typeof name !== 'string' || name.trim() === '') {
    throw new InvalidOptionError(option, 'a non-empty string', name)
  }
  // Postgres cannot store a NUL character.
  if (name.length > LONGEST_NAME || name.includes('\0')) {
    const expected = `at most ${LONGEST_NAME} characters, none of them NUL`
    throw new InvalidOptionError(option, expected, name.slice(0, LONGEST_NAME))
  }
}

/** An option given as `undefined` is one that was not given. */
export function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}
