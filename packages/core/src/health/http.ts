import { InvalidOptionError } from '../kernel/errors.ts'
import { type HealthOptions, resolveHealthOptions } from './options.ts'
import type { DaemonHealth } from './verdict.ts'

/** The part of node:http's `ServerResponse` that is used: what Express and Nest call `res`, and Fastify `reply.raw`. */
export interface HealthResponse {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body: string): unknown
}

/** What answers a request; `request` is not looked at. */
export type HealthHandler = (request: unknown, response: HealthResponse) => void

export interface HealthHandlers {
  /** 200, or 503 where a restart of the process would help. */
  readonly live: HealthHandler
  /** 200 while work goes on here, or is done by another process; 503 otherwise. */
  readonly ready: HealthHandler
}

interface HasHealth {
  health(options?: HealthOptions): DaemonHealth
}

/**
 * Handlers for `/health/live` and `/health/ready` of node:http, and of what is built on it. The body is what `health()` says, as
 * JSON. They ask nothing of a store, and throw nothing into the server: 500 says that `health()` itself has thrown.
 */
export function healthHandlers(daemon: HasHealth, options: HealthOptions = {}): HealthHandlers {
  if (typeof daemon?.health !== 'function') throw new InvalidOptionError('daemon', 'a Daemon', daemon)
  resolveHealthOptions(options)
  const answer =
    (isGood: (health: DaemonHealth) => boolean): HealthHandler =>
    (_, response) => {
      const { status, body } = look(daemon, options, isGood)
      send(response, status, body)
    }
  return { live: answer(({ live }) => live), ready: answer(({ ready }) => ready) }
}

function look(
  daemon: HasHealth,
  options: HealthOptions,
  isGood: (health: DaemonHealth) => boolean,
): { readonly status: number; readonly body: string } {
  try {
    const health = daemon.health(options)
    return { status: isGood(health) ? 200 : 503, body: JSON.stringify(health) }
  } catch {
    return { status: 500, body: JSON.stringify({ reasons: ['the health could not be computed'] }) }
  }
}

function send(response: HealthResponse, status: number, body: string): void {
  try {
    response.statusCode = status
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.setHeader('cache-control', 'no-store')
    response.end(body)
  } catch {
    // It was answered already, or who asked is gone.
  }
}
