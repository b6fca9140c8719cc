import { codesOf, messageOf, unreachableCode } from '@tidemark/console/status'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { withOwnWords } from './own-words.ts'
import { RefusedError, UsageError } from './usage-error.ts'

/** What a person is told of an error. */
export interface Explanation {
  readonly exit: ExitCode
  /** Stable; of the library, the server or Node where they have one. */
  readonly code: string
  readonly message: string
  /** What to try. */
  readonly next: readonly string[]
}

const CODES: Readonly<Record<string, { readonly exit: ExitCode; readonly next: readonly string[] }>> = {
  TIDEMARK_INVALID_OPTION: { exit: EXIT.usage, next: ['See --help of the command.'] },
  TIDEMARK_OPERATION_REFUSED: {
    exit: EXIT.refused,
    next: ['See how it stands: tidemark status. What was done to it: tidemark audit'],
  },
  TIDEMARK_NODE_UNKNOWN: {
    exit: EXIT.refused,
    next: ['See which there are: tidemark nodes. One that has died is shown for an hour.'],
  },
  TIDEMARK_OPERATION_PENDING: {
    exit: EXIT.notReached,
    next: [
      'To wait on: the same command again, with a longer --timeout. To withdraw it: tidemark projections cancel NAME --why "..."',
    ],
  },
  TIDEMARK_CHECKPOINT_BUSY: {
    exit: EXIT.notReached,
    next: ['Ask again, with a longer --timeout, or end what holds it.'],
  },
  TIDEMARK_WAIT_TIMEOUT: {
    exit: EXIT.notReached,
    next: ['See what is in the way: tidemark status. To wait for longer: --timeout'],
  },
  TIDEMARK_WAIT_FAILED: { exit: EXIT.notReached, next: ['See how it stands: tidemark status'] },
  TIDEMARK_POSTGRES_CONDITION: {
    exit: EXIT.unusable,
    next: ['See what else is missing: tidemark doctor'],
  },
  TIDEMARK_CONSUMERS_UNREADABLE: {
    exit: EXIT.unusable,
    next: ['See which columns there are, and name them: --consumers, --consumer, --checkpoint'],
  },
  TIDEMARK_STORE_REWOUND: {
    exit: EXIT.notReached,
    next: ['Decide nothing before you know which events are gone: docs/runbook.md, "polls failing".'],
  },
  TIDEMARK_LATE_EVENTS: {
    exit: EXIT.notReached,
    next: ['See docs/runbook.md, "polls failing". Which ones are kept: tidemark late'],
  },
  TIDEMARK_UNSUPPORTED_BY_STORE: { exit: EXIT.usage, next: ['See --help of the command.'] },
  EADDRINUSE: {
    exit: EXIT.usage,
    next: ['Something else has that port. Give another --port, or none: one that is free is taken then.'],
  },
  '42501': {
    exit: EXIT.unusable,
    next: ["Connect as a role that may do this: Tidemark's own tables are made and changed by their owner."],
  },
}

const ANOTHER_ROLE = 'Or connect as a role that may: --database-url, or DATABASE_URL.'
const RIGHTS_TO_CHANGE =
  'What changes something needs more than what only looks: docs/operating.md, "Rights", has all of it.'

const TABLES = 'TIDEMARK_POSTGRES_CONDITION'
const INSUFFICIENT_PRIVILEGE = '42501'

/** What was done when an error came. */
export interface Doing {
  /** The database, for people; `undefined`: none was opened. */
  readonly called: string | undefined
  readonly schema: string
  /** Whether something was to be changed. */
  readonly isChange: boolean
}

/** Pure. */
export function explain(error: unknown, { called, schema, isChange }: Doing): Explanation {
  if (error instanceof UsageError) {
    return { exit: EXIT.usage, code: 'USAGE', message: error.message, next: error.next }
  }
  if (error instanceof RefusedError) {
    return { exit: EXIT.refused, code: 'REFUSED', message: error.message, next: error.next }
  }
  const message = withOwnWords(messageOf(error))
  const codes = codesOf(error)
  const unreachable = unreachableCode(error)
  if (unreachable !== undefined) {
    return {
      exit: EXIT.unreachable,
      code: unreachable,
      message: `The database at ${called ?? 'that place'} cannot be reached: ${message}`,
      next: reachedBy(unreachable),
    }
  }
  const known = codes.find((code) => code in CODES)
  if (known === undefined) {
    const code = codes[0] ?? 'UNKNOWN'
    return {
      exit: EXIT.bug,
      code,
      message,
      next: ['This program does not know that error. With its stack: set TIDEMARK_DEBUG=1, and report it.'],
    }
  }
  const { exit, next } = CODES[known] ?? { exit: EXIT.bug, next: [] }
  if (known !== TABLES || !isAboutTables(error)) return { exit, code: known, message, next }
  const isForbidden = codes.includes(INSUFFICIENT_PRIVILEGE)
  const rightsNext = [ANOTHER_ROLE, ...(isChange ? [RIGHTS_TO_CHANGE] : [])]
  const ofTables = isForbidden ? rightsNext : tablesNext(schema)
  return { exit, code: known, message, next: ofTables }
}

function reachedBy(code: string): readonly string[] {
  if (code === '28000' || code === '28P01') return ['Check role and password.', NAMED_BY]
  if (code === '3D000') return ['Check the name of the database.', NAMED_BY]
  if (code === '53300') return ['The server has no connection left: see pg_stat_activity, and ask again.']
  if (code === 'TIDEMARK_NOT_PRIMARY') return ['Connect to the primary.', NAMED_BY]
  if (code === 'TIDEMARK_QUERY_TIMEOUT') {
    return ['See what keeps the server busy, or what a lock waits for: tidemark doctor', NAMED_BY]
  }
  return ['See whether the server runs, and whether this machine reaches it.', NAMED_BY]
}

const NAMED_BY =
  'Another one is named by --database-url, DATABASE_URL, PGHOST and the like, or databaseUrl in tidemark.config.js.'

function tablesNext(schema: string): readonly string[] {
  const option = schema === 'tidemark' ? '' : ` --schema ${schema}`
  return [
    `If the tables are missing or of an earlier version: tidemark migrations apply${option}`,
    'If they are in another schema, name it: --schema',
  ]
}

const isAboutTables = (error: unknown): boolean =>
  error instanceof Error && 'condition' in error && error.condition === 'checkpoint_tables'
