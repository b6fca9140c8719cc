import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { userInfo } from 'node:os'
import { InvalidOptionError } from '@tidemark/core'
import { requireKnownOptions } from '@tidemark/core/adapter'
import { type ConsoleHandler, consoleHandler } from './handler.ts'
import { HttpError } from './http/http-error.ts'
import { LinkToken } from './http/link-token.ts'
import { placeOf } from './http/path.ts'
import { SAFE_HEADERS, sendError } from './http/respond.ts'
import { CONSOLE_PARTS, type ConsoleParts } from './options.ts'

export interface ServeConsoleOptions extends ConsoleParts {
  /**
   * The port on 127.0.0.1.
   * - Raising it: no difference, nor does lowering it: it is a name.
   * - Lowering it: below 1,024 most systems let only root have it.
   * - Change it when: the address is to stay the same, as for a tunnel.
   * @unit port
   * @default any that is free
   */
  readonly port?: number
  /**
   * Whom the audit names for what is done on the page.
   * - Change it when: the account of this process is not the person who looks.
   * @default the name of the account that runs this process
   */
  readonly who?: string
}

/** A console that is served. */
export interface ServedConsole {
  /** With the token that lets its reader in: for one person, and not for a log that others read. */
  readonly url: string
  /** Ends it, with every live page. May be called twice, and without its object. */
  readonly close: () => Promise<void>
}

const LOOPBACK = '127.0.0.1'
const MOST_PORT = 65_535
const SERVE_OPTIONS: Readonly<Record<keyof ServeConsoleOptions, true>> = {
  ...CONSOLE_PARTS,
  port: true,
  who: true,
}

/**
 * Serves the console by itself, on 127.0.0.1 alone, for whoever has the link. Resolves once it listens. Rejects with
 * `InvalidOptionError`, or with the error of the port.
 */
export async function serveConsole(options: ServeConsoleOptions): Promise<ServedConsole> {
  requireKnownOptions(options, SERVE_OPTIONS)
  const { port = 0, who = userInfo().username, ...parts } = options
  if (!Number.isSafeInteger(port) || port < 0 || port > MOST_PORT) {
    throw new InvalidOptionError('port', `an integer from 0 to ${MOST_PORT}`, port)
  }
  if (typeof who !== 'string' || who.trim() === '') throw new InvalidOptionError('who', 'a name', who)
  const served = new Served(parts, who)
  await served.listen(port)
  return served
}

class Served implements ServedConsole {
  readonly #handler: ConsoleHandler
  readonly #server: Server
  #token: LinkToken | undefined
  #port = 0

  constructor(parts: ConsoleParts, who: string) {
    const isLetIn = ({ headers }: IncomingMessage): boolean => this.#token?.isIn(headers.cookie) === true
    this.#handler = consoleHandler({
      ...parts,
      authorize: (request) => (isLetIn(request) ? { who } : undefined),
    })
    this.#server = createServer((request, response) => this.#handle(request, response))
  }

  get url(): string {
    return `http://${LOOPBACK}:${this.#port}/?token=${this.#token?.token ?? ''}`
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, LOOPBACK, resolve)
    })
    const address = this.#server.address()
    this.#port = typeof address === 'object' && address !== null ? address.port : port
    this.#token = new LinkToken(this.#port)
  }

  readonly close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    await this.#handler.close()
    this.#server.closeAllConnections()
    await closed
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    if (!this.#isOwnHost(request.headers.host)) {
      void sendError(
        request,
        response,
        new HttpError(421, 'UNKNOWN_HOST', 'This server is not called that.', [
          'Open the link that was printed.',
        ]),
      )
      return
    }
    const place = placeOf(request, '')
    if (
      request.method === 'GET' &&
      place?.path === '/' &&
      this.#token?.isToken(place.parameters.get('token'))
    ) {
      response.writeHead(303, { ...SAFE_HEADERS, location: './', 'set-cookie': this.#token.setCookie }).end()
      return
    }
    this.#handler(request, response)
  }

  /** A name that somebody else has pointed at this machine is none of it. */
  #isOwnHost(host: string | undefined): boolean {
    return host === `${LOOPBACK}:${this.#port}` || host === `localhost:${this.#port}`
  }
}
