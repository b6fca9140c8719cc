import type { ErrorAnswer } from '../protocol.ts'
import { messageOf } from '../status/message-of.ts'
import { codesOf, unreachableCode } from '../status/unreachable.ts'
import { HttpError } from './http-error.ts'

/** What a viewer is told of an error. */
export interface Explanation {
  readonly status: number
  readonly error: ErrorAnswer['error']
}

const KNOWN: Readonly<Record<string, { readonly status: number; readonly next: readonly string[] }>> = {
  TIDEMARK_INVALID_OPTION: { status: 400, next: [] },
  TIDEMARK_OPERATION_REFUSED: {
    status: 409,
    next: ['See how it stands, and in the audit what was done to it.'],
  },
  TIDEMARK_OPERATION_PENDING: {
    status: 409,
    next: ['It stays asked for: a daemon that runs it does it. To withdraw it: cancel.'],
  },
  TIDEMARK_CHECKPOINT_BUSY: {
    status: 409,
    next: ['A batch goes on for long. Ask again, or end what holds it.'],
  },
  TIDEMARK_WAIT_TIMEOUT: { status: 409, next: ['It stays asked for: a daemon that runs it does it.'] },
  TIDEMARK_NODE_UNKNOWN: { status: 404, next: ['See which nodes there are.'] },
  TIDEMARK_UNSUPPORTED_BY_STORE: { status: 501, next: [] },
  TIDEMARK_POSTGRES_CONDITION: {
    status: 503,
    next: [
      'See what is missing: Doctor, or tidemark doctor.',
      'Are its own tables missing, a daemon makes them when it starts; or: tidemark migrations apply',
    ],
  },
  '42501': {
    status: 403,
    next: [
      'The role of the console may not do that. The rights that operators need: docs/operating.md, "Rights".',
    ],
  },
}

/** Pure. There is never a stack in it. */
export function explain(error: unknown): Explanation {
  if (error instanceof HttpError) {
    const { status, code, message, next } = error
    return { status, error: { code, message, next } }
  }
  const message = messageOf(error)
  const unreachable = unreachableCode(error)
  if (unreachable !== undefined) {
    return {
      status: 503,
      error: {
        code: unreachable,
        message: `The database cannot be reached: ${message}`,
        next: ['See whether the server runs, and whether the process of the console reaches it.'],
      },
    }
  }
  const codes = codesOf(error)
  // What the server itself has refused says more than what it was wrapped in.
  const code = codes.includes('42501') ? '42501' : codes.find((each) => Object.hasOwn(KNOWN, each))
  const known = code === undefined ? undefined : KNOWN[code]
  if (code === undefined || known === undefined) {
    return {
      status: 500,
      error: { code: codes[0] ?? 'UNKNOWN', message, next: ['The console does not know that error.'] },
    }
  }
  return { status: known.status, error: { code, message, next: known.next } }
}
