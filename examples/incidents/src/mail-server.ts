import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Takes every mail while it is up. */
export class MailServer {
  readonly url: string
  readonly #port: number
  #server: Server

  private constructor(server: Server) {
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
    this.url = `http://127.0.0.1:${this.#port}/`
  }

  static async start(): Promise<MailServer> {
    return new MailServer(await listen(0))
  }

  goDown(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async comeUp(): Promise<void> {
    this.#server = await listen(this.#port)
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(204).end())
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}
