import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'

/** Metrics for a Prometheus on this machine. */
export interface MetricsServer {
  readonly url: string
  /** May be called twice. */
  close(): void
}

/** Nothing can be served on the port that was asked for. */
class PortUnavailableError extends Error {
  readonly code = 'PORT_UNAVAILABLE'
}

const HOST = '127.0.0.1'
const PATH = '/metrics'

/** `port` 0 takes any that is free. */
export async function serveMetrics(registry: Registry, port: number): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (request.url?.split('?')[0] === PATH) void answer(registry, response)
    else response.writeHead(404).end(`Only ${PATH} is here.\n`)
  })
  server.listen(port, HOST)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw unavailable(port, error)
  }
  const address = server.address() as AddressInfo
  return {
    url: `http://${HOST}:${address.port}${PATH}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

async function answer(registry: Registry, response: ServerResponse): Promise<void> {
  try {
    const text = await registry.metrics()
    response.writeHead(200, { 'content-type': registry.contentType }).end(text)
  } catch (error) {
    response.writeHead(500).end(`${error instanceof Error ? error.message : String(error)}\n`)
  }
}

function unavailable(port: number, cause: unknown): PortUnavailableError {
  const { code, message } = cause as NodeJS.ErrnoException
  const why = code === 'EADDRINUSE' ? 'another process listens there' : message
  return new PortUnavailableError(
    `metrics cannot be served on port ${port} of ${HOST}: ${why}. Take another with --port, or --port 0 for any that is free.`,
    { cause },
  )
}
