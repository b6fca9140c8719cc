import { DEFAULT_MAJOR, isMajor, MAJORS, type Major } from '@tidemark-internal/embedded-postgres'
import { numberOf, parseCommandLine, UsageError } from '../command-line.ts'

export interface WatchDemoOptions {
  readonly seconds: number
  /** Of the writers' choices. */
  readonly seed: number
  /** How long each consumer takes for a batch. */
  readonly handlerMs: number
  readonly major: Major
  readonly trackCommitTimestamp: boolean
  readonly json: boolean
}

/** 12 s: enough for each consumer to lose some. */
const DEFAULTS = { seconds: 12, seed: 1, handlerMs: 0 } as const
const MOST_SECONDS = 3_600
const MOST_SEED = 4_294_967_295
const MOST_HANDLER_MS = 10_000

export const HELP: string = `Usage: pnpm demo:watch [options]

Three consumers that Tidemark does not run, over PostgreSQL event tables that are written to as badly as
real applications do. A watch beside them tells which events they lose. The verdict compares what it has
told with what was really lost.

  --seconds <n>              how long writers append, 1 to ${MOST_SECONDS} (default ${DEFAULTS.seconds})
  --seed <n>                 of the writers' choices; the machine still decides who is first (default ${DEFAULTS.seed})
  --handler-ms <n>           how long each consumer takes for a batch (default ${DEFAULTS.handlerMs}): the slower it
                             is, the fewer of its losses a watch can prove
  --postgres <major>         ${MAJORS.join(', ')}; installed the first time (default ${DEFAULT_MAJOR})
  --track-commit-timestamp   the server keeps commit timestamps; auditCommits then tells of the past too
  --json                     one JSON object as the last line of standard output, all else on standard error
  --help                     this text

Exit status: 0 when no event was called lost that was not, 1 otherwise, 2 for a bad option, 130 when
interrupted before there is anything to judge. Ctrl-C ends the run early, with its verdict; a second one
at once.
`

/** `'help'` when that is what was asked for. Throws a {@link UsageError}. */
export function parseOptions(args: readonly string[]): WatchDemoOptions | 'help' {
  const values = parseCommandLine(args, {
    values: ['seconds', 'seed', 'handler-ms', 'postgres'],
    flags: ['track-commit-timestamp', 'json'],
  })
  if (values.help) return 'help'
  return {
    seconds: numberOf('--seconds', values.seconds, DEFAULTS.seconds, [1, MOST_SECONDS]),
    seed: numberOf('--seed', values.seed, DEFAULTS.seed, [0, MOST_SEED]),
    handlerMs: numberOf('--handler-ms', values['handler-ms'], DEFAULTS.handlerMs, [0, MOST_HANDLER_MS]),
    major: majorOf(values.postgres),
    trackCommitTimestamp: values['track-commit-timestamp'] ?? false,
    json: values.json ?? false,
  }
}

function majorOf(text: string | undefined): Major {
  const major = text === undefined ? DEFAULT_MAJOR : Number(text)
  if (isMajor(major)) return major
  throw new UsageError(`--postgres: expected one of ${MAJORS.join(', ')}, found ${JSON.stringify(text)}`)
}
