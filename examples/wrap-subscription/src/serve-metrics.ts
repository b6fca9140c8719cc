import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { register } from 'prom-client'

/** What prom-client's default registry has, for Prometheus; on any free port with `METRICS_PORT=0`. */
export async function serveMetrics(): Promise<Server> {
  const server = createServer((_, response) => void answer(response))
  server.listen(Number(process.env.METRICS_PORT ?? 9464))
  await once(server, 'listening')
  console.log(`metrics: http://localhost:${(server.address() as AddressInfo).port}/metrics`)
  return server
}

async function answer(response: ServerResponse): Promise<void> {
  try {
    const text = await register.metrics()
    response.writeHead(200, { 'content-type': register.contentType }).end(text)
  } catch (error) {
    response.writeHead(500).end(String(error))
  }
}
