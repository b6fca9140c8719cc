import { numberOf, parseCommandLine, UsageError } from './command-line.ts'

export interface DemoOptions {
  readonly seconds: number
  readonly writers: number
  readonly mode: 'proof' | 'stale-threshold'
  /** `undefined` in proof mode. */
  readonly thresholdMs: number | undefined
  /** `undefined`: an embedded server. */
  readonly databaseUrl: string | undefined
  /** Of `/metrics`; 0 for any that is free. */
  readonly port: number
  /** How long metrics are served after the verdict. */
  readonly lingerSeconds: number
  readonly json: boolean
}

/**
 * 20 s: enough for every kind of trouble to come up many times. 3000 ms: the library's default, which is Marten's.
 * 9464: where OpenTelemetry's exporter serves Prometheus.
 */
const DEFAULTS = {
  seconds: 20,
  writers: 8,
  mode: 'proof',
  thresholdMs: 3_000,
  port: 9464,
  lingerSeconds: 0,
} as const
const MOST_SECONDS = 3_600
const MOST_WRITERS = 200
const MOST_THRESHOLD_MS = 3_600_000
const LAST_PORT = 65_535

export const HELP: string = `Usage: pnpm demo [options]

Projections over a PostgreSQL event table that is written to as badly as real applications do, and a
verdict on what reached them.

  --seconds <n>          how long writers append, 1 to ${MOST_SECONDS} (default ${DEFAULTS.seconds})
  --writers <n>          how many append at the same time, 1 to ${MOST_WRITERS} (default ${DEFAULTS.writers})
  --mode <mode>          proof: never passes a gap that may still be filled (default)
                         stale-threshold: passes a gap after a while, and loses events
  --threshold-ms <ms>    how old a gap has to be to be passed in stale-threshold mode (default ${DEFAULTS.thresholdMs})
  --database-url <url>   a database to use, in a schema of its own that is dropped at the end
                         (default: an embedded server in a temporary folder)
  --port <n>             where /metrics is served for Prometheus, 0 for any free port (default ${DEFAULTS.port})
  --linger-seconds <n>   how long it is served after the verdict, 0 to ${MOST_SECONDS} (default ${DEFAULTS.lingerSeconds})
  --json                 one JSON object as the last line of standard output, all else on standard error
  --help                 this text

Exit status: 0 when nothing was lost, duplicated or out of order (in stale-threshold mode: when the
counted skips cover what was lost), 1 otherwise, 2 for a bad option, 130 when interrupted before there
is anything to judge. Ctrl-C ends the run early, with its verdict and no lingering; a second one at once.
`

/** `'help'` when that is what was asked for. Throws a {@link UsageError}. */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  const values = parseCommandLine(args, {
    values: ['seconds', 'writers', 'mode', 'threshold-ms', 'database-url', 'port', 'linger-seconds'],
    flags: ['json'],
  })
  if (values.help) return 'help'
  const mode = values.mode ?? DEFAULTS.mode
  if (mode !== 'proof' && mode !== 'stale-threshold') {
    throw new UsageError(`--mode: expected proof or stale-threshold, found ${JSON.stringify(mode)}`)
  }
  const threshold = values['threshold-ms']
  if (mode === 'proof' && threshold !== undefined) {
    throw new UsageError('--threshold-ms: only with --mode stale-threshold; the proof uses no clock')
  }
  return {
    seconds: numberOf('--seconds', values.seconds, DEFAULTS.seconds, [1, MOST_SECONDS]),
    writers: numberOf('--writers', values.writers, DEFAULTS.writers, [1, MOST_WRITERS]),
    mode,
    thresholdMs:
      mode === 'proof'
        ? undefined
        : numberOf('--threshold-ms', threshold, DEFAULTS.thresholdMs, [1, MOST_THRESHOLD_MS]),
    databaseUrl: databaseUrlOf(values['database-url']),
    port: numberOf('--port', values.port, DEFAULTS.port, [0, LAST_PORT]),
    lingerSeconds: numberOf('--linger-seconds', values['linger-seconds'], DEFAULTS.lingerSeconds, [
      0,
      MOST_SECONDS,
    ]),
    json: values.json ?? false,
  }
}

/** The text is not repeated: it may hold a password. */
function databaseUrlOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const protocol = URL.canParse(text) ? new URL(text).protocol : undefined
  if (protocol === 'postgres:' || protocol === 'postgresql:') return text
  throw new UsageError('--database-url: expected postgresql://user@host:port/database')
}
