import { messageOf } from './message-of.ts'

/** Of Node, of node-postgres, and SQLSTATEs. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  ...[
    'ECONNREFUSED',
    'ECONNRESET',
    'EAI_AGAIN',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENOTFOUND',
    'EPIPE',
    'ETIMEDOUT',
  ],
  ...['TIDEMARK_CONNECTION_LOST', 'TIDEMARK_NO_CONNECTION', 'TIDEMARK_NOT_PRIMARY', 'TIDEMARK_QUERY_TIMEOUT'],
  ...['28000', '28P01', '3D000', '53300', '57P01', '57P02', '57P03'],
])
const DRIVER_MESSAGES =
  /^(Connection terminated|timeout (exceeded|expired)|Client (has encountered|was closed)|The server does not support SSL|self[- ]signed)/i
const MOST_LEVELS = 8

/** The code of an error that says that the database cannot be reached; `undefined`: it says something else. Pure. */
export function unreachableCode(error: unknown): string | undefined {
  const code = codesOf(error).find((each) => UNREACHABLE.has(each))
  return code ?? (DRIVER_MESSAGES.test(messageOf(error)) ? 'UNREACHABLE' : undefined)
}

/** The codes of an error and its causes, the outermost first. Pure. */
export function codesOf(error: unknown): readonly string[] {
  const codes: string[] = []
  for (let at = error, level = 0; at instanceof Error && level < MOST_LEVELS; at = at.cause, level++) {
    if ('code' in at && typeof at.code === 'string') codes.push(at.code)
    if (at instanceof AggregateError) codes.push(...at.errors.flatMap((part) => codesOf(part)))
  }
  return codes
}
