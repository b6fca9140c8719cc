import { inspect } from 'node:util'
import { messageOf } from './errors.ts'

/** Causes and parts of an error that are followed: more is a circle, or tells nobody anything. */
const MOST_LEVELS = 8

/** What was thrown, with its stack and those of its causes, for a log. Never throws, whatever it is. */
export function describeError(error: unknown): string {
  try {
    return lines(error, new Set()).join('\n')
  } catch {
    return 'an error that cannot be described'
  }
}

/** The longest message that a store keeps. */
const LONGEST_KEPT = 2_000

/** The message of an error for a store to keep. Postgres cannot store a NUL character. */
export function keptMessage(error: unknown): string {
  return messageOf(error).replaceAll('\0', '').slice(0, LONGEST_KEPT)
}

function lines(error: unknown, seen: Set<unknown>): string[] {
  if (!(error instanceof Error)) return [`thrown: ${inspect(error, { depth: 2, breakLength: 120 })}`]
  if (seen.has(error)) return [`${error.name}: ${error.message} (shown above)`]
  if (seen.size >= MOST_LEVELS) return ['...']
  seen.add(error)
  const own = typeof error.stack === 'string' ? error.stack : `${error.name}: ${error.message}`
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const named = code === undefined || own.includes(code) ? own : `${own}\n    code: ${code}`
  const parts: unknown[] = error instanceof AggregateError ? error.errors.slice(0, MOST_LEVELS) : []
  return [
    named,
    ...parts.flatMap((part) => prefixed('one of: ', lines(part, seen))),
    ...(error.cause === undefined ? [] : prefixed('caused by: ', lines(error.cause, seen))),
  ]
}

function prefixed(prefix: string, [first, ...rest]: string[]): string[] {
  return [prefix + (first ?? ''), ...rest]
}
