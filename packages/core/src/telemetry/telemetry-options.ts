import { InvalidOptionError, messageOf } from '../kernel/errors.ts'
import { type Logger, quietLogger, SILENT_LOGGER } from './logger.ts'
import type { Metrics } from './metrics.ts'
import type { Telemetry } from './telemetry.ts'

export interface TelemetryOptions {
  /**
   * Where metrics go: `promClientMetrics()` from `@tidemark/core/prom-client`, `openTelemetryMetrics()` from
   * `@tidemark/core/opentelemetry`, or a `Metrics` of your own. It is called once a poll or a batch, never once an event.
   * - Change it when: the process has metrics. Dashboard and alerts need it.
   * @default nowhere
   */
  readonly metrics?: Metrics
  /**
   * Where warnings go: `console`, a pino logger, or anything of that shape. A row of failures is one line, then one a minute.
   * - Change it when: the process has a log. Without it failures are seen in the status and the metrics alone.
   * @default nowhere
   */
  readonly logger?: Logger
  /**
   * What is reported as it happens. Its methods are called synchronously, so slow ones hold up the work.
   * - Change it when: you want to act on what happens, beyond metrics, spans and the log.
   * @default none
   */
  readonly telemetry?: Telemetry
  /**
   * Where errors of telemetry go. They never reach the work.
   * - Change it when: you collect errors somewhere.
   * @default once to the logger, or the console, then silence
   */
  readonly onTelemetryError?: (error: unknown) => void
}

export interface ResolvedTelemetryOptions {
  readonly metrics: Metrics | undefined
  readonly logger: Logger
  /** For what the user should know of the set-up. Without a logger, errors of telemetry go to the console. */
  readonly telemetryLogger: Logger
  /** The user's own. */
  readonly telemetry: Telemetry
  readonly onTelemetryError: (error: unknown) => void
}

export function resolveTelemetryOptions(options: TelemetryOptions): ResolvedTelemetryOptions {
  const { metrics, logger = SILENT_LOGGER, telemetry = {} } = options
  if (metrics !== undefined && typeof metrics.open !== 'function') {
    throw new InvalidOptionError(
      'metrics',
      'promClientMetrics(), openTelemetryMetrics() or a Metrics',
      metrics,
    )
  }
  for (const level of ['info', 'warn', 'error'] as const) {
    if (typeof logger[level] !== 'function') {
      throw new InvalidOptionError('logger', `an object with ${level}()`, logger)
    }
  }
  const telemetryLogger = quietLogger(options.logger ?? console)
  const onTelemetryError = options.onTelemetryError ?? warnOnce(telemetryLogger)
  return { metrics, logger: quietLogger(logger), telemetryLogger, telemetry, onTelemetryError }
}

function warnOnce(logger: Pick<Logger, 'warn'>): (error: unknown) => void {
  let warned = false
  return (error) => {
    if (warned) return
    warned = true
    logger.warn(
      `tidemark: telemetry failed; the work goes on, further failures are only counted: ${messageOf(error)}`,
    )
  }
}
