import type { IncomingMessage, ServerResponse } from 'node:http'
import { Actions } from './act/actions.ts'
import { Jobs } from './act/jobs.ts'
import { Assets } from './http/assets.ts'
import { readBody } from './http/body.ts'
import { HttpError } from './http/http-error.ts'
import { RequestLimit, StreamLimit } from './http/limits.ts'
import { type Place, placeOf } from './http/path.ts'
import { SAFE_HEADERS, sendError, sendJson } from './http/respond.ts'
import { CsrfTokens, requireSameOrigin } from './http/same-origin.ts'
import { viewerOf } from './http/viewer.ts'
import { SharedLook } from './look/shared-look.ts'
import {
  type ConsoleOptions,
  type ResolvedConsoleOptions,
  resolveConsoleOptions,
  type Viewer,
} from './options.ts'
import { packageVersion } from './package-version.ts'
import type { DoctorAnswer, SessionAnswer } from './protocol.ts'
import { doctorAnswer } from './read/doctor.ts'
import { lateAnswer, skipsAnswer } from './read/evidence.ts'
import { letterAnswer, letterGroups, lettersAnswer } from './read/letters.ts'
import { sendLive } from './read/live.ts'
import { nodeAudit, nodesAnswer } from './read/nodes.ts'
import { auditAnswer, projectionAnswer } from './read/projection.ts'
import { Query } from './read/query.ts'

/** What answers requests: for node:http alone, or in a server that is built on it. */
export interface ConsoleHandler {
  (request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void): void
  /** Ends every live page and what waits here for an answer. What operators have asked for stays asked for. May be called twice. */
  close(): Promise<void>
}

/**
 * A page that shows what stands, since when, why, and who holds it; and does what operators do, where it may. For node:http and what is built on
 * it. It reads the database while somebody looks, and only then.
 *
 * ```ts
 * app.use('/console', consoleHandler({ pool, checkpoints, authorize: (request) => operatorOf(request) }))
 * ```
 *
 * Throws `InvalidOptionError`.
 */
export function consoleHandler(options: ConsoleOptions): ConsoleHandler {
  const server = new ConsoleServer(resolveConsoleOptions(options))
  const handle = (
    request: IncomingMessage,
    response: ServerResponse,
    next?: (error?: unknown) => void,
  ): void => void server.handle(request, response, next)
  return Object.assign(handle, { close: () => server.close() })
}

/** A request of somebody who may look. */
interface Asked {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly viewer: Viewer
  readonly path: string
  readonly query: Query
}

class ConsoleServer {
  readonly #options: ResolvedConsoleOptions
  readonly #look: SharedLook
  readonly #jobs: Jobs
  readonly #actions: Actions
  readonly #assets = new Assets()
  readonly #csrf = new CsrfTokens()
  readonly #requests: RequestLimit
  readonly #streams: StreamLimit
  readonly #live = new Set<ServerResponse>()
  readonly #examining = new Map<string, Promise<DoctorAnswer>>()

  constructor(options: ResolvedConsoleOptions) {
    this.#options = options
    this.#jobs = new Jobs(() => this.#look.tell())
    this.#look = new SharedLook(options, () => this.#jobs.all())
    this.#actions = new Actions(options, this.#jobs, () => this.#look.again())
    this.#requests = new RequestLimit(options.requestsPerMinute)
    this.#streams = new StreamLimit(options.liveStreams)
  }

  /** Never rejects. */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    next: ((error?: unknown) => void) | undefined,
  ): Promise<void> {
    try {
      const place = placeOf(request, this.#options.basePath)
      if (place === undefined && next !== undefined) next()
      else if (place === undefined) throw noSuchPath()
      else await this.#answer(request, response, place)
    } catch (error) {
      await sendError(request, response, error).catch(() => response.destroy())
    }
  }

  async close(): Promise<void> {
    this.#actions.close()
    for (const response of this.#live) response.destroy()
    await this.#look.close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse, place: Place): Promise<void> {
    const { path, parameters, instead } = place
    if (path.startsWith('/api/')) requireSameOrigin(request)
    const viewer = await viewerOf(request, this.#options.authorize)
    this.#requests.take(viewer.who, performance.now())
    const asked: Asked = { request, response, viewer, path, query: new Query(parameters) }
    if (request.method === 'POST') await this.#act(asked)
    else if (request.method !== 'GET' && request.method !== 'HEAD') throw notAllowed()
    else if (instead !== undefined) response.writeHead(308, { ...SAFE_HEADERS, location: instead }).end()
    else if (path === '/') this.#assets.send(request, response)
    else if (path.startsWith('/api/')) await this.#read(asked)
    else if (this.#assets.has(path.slice(1))) this.#assets.send(request, response, path.slice(1))
    else throw noSuchPath()
  }

  async #act({ request, response, viewer, path, query }: Asked): Promise<void> {
    const name = /^\/api\/actions\/(\w+)$/.exec(path)?.[1]
    if (name === undefined) throw notAllowed()
    this.#csrf.require(request, viewer.who)
    if (!this.#mayAct(viewer)) {
      throw new HttpError(403, 'READ_ONLY', 'This console only reads.', [
        'Its option actions allows more, to those of whom authorize does not say otherwise.',
      ])
    }
    const body = await readBody(request)
    const asked = { name, body, who: viewer.who, isDry: query.has('dry') }
    if (asked.isDry) {
      await sendJson(request, response, { status: 200, body: await this.#actions.dry(asked) })
      return
    }
    const answer = await this.#actions.act(asked)
    await sendJson(request, response, { status: answer.job.state === 'done' ? 200 : 202, body: answer })
  }

  async #read(asked: Asked): Promise<void> {
    const { request, response, viewer, path } = asked
    if (path === '/api/live' && request.method === 'GET') {
      sendLive(request, response, this.#look, this.#follow(response, viewer))
      return
    }
    if (path === '/api/overview') {
      const message = await this.#look.newest()
      const etag = `"${message.id}"`
      if (request.headers['if-none-match'] === etag) response.writeHead(304, { ...SAFE_HEADERS, etag }).end()
      else await sendJson(request, response, { status: 200, body: message, headers: { etag } })
      return
    }
    await sendJson(request, response, { status: 200, body: await this.#find(asked) })
  }

  async #find({ viewer, path, query }: Asked): Promise<unknown> {
    const { operations } = this.#options
    const letter = /^\/api\/dead-letters\/(\d{1,18})$/.exec(path)?.[1]
    if (letter !== undefined) return await letterAnswer(this.#options, letter, query)
    switch (path) {
      case '/api/session':
        return this.#session(viewer)
      case '/api/history':
        return this.#look.history.answer()
      case '/api/projection':
        return await projectionAnswer(operations, await this.#look.looked(), query)
      case '/api/dead-letters':
        return await lettersAnswer(operations.deadLetters, query)
      case '/api/dead-letters/groups':
        return await letterGroups(operations.deadLetters, query)
      case '/api/skips':
        return await skipsAnswer(this.#options, query)
      case '/api/late':
        return await lateAnswer(this.#options, query)
      case '/api/nodes':
        return nodesAnswer((await this.#look.looked()).snapshot, this.#look.moves.all())
      case '/api/node-audit':
        return await nodeAudit(operations.nodes, query)
      case '/api/audit':
        return await auditAnswer(operations, query)
      case '/api/doctor':
        return await this.#examine(query.text('source'))
      default:
        throw noSuchPath()
    }
  }

  #session(viewer: Viewer): SessionAnswer {
    const { showEventData, lookEveryMs, called = null } = this.#options
    return {
      who: viewer.who,
      actions: this.#mayAct(viewer),
      showEventData,
      csrf: this.#csrf.of(viewer.who),
      lookEveryMs,
      called,
      version: packageVersion(),
    }
  }

  #mayAct({ actions = true }: Viewer): boolean {
    return this.#options.actions && actions
  }

  /** What ends with a live page. */
  #follow(response: ServerResponse, { who }: Viewer): () => void {
    const release = this.#streams.take(who)
    this.#live.add(response)
    return () => {
      this.#live.delete(response)
      release()
    }
  }

  /** One examination at a time of each source, for all who want one: it takes seconds, and asks much. */
  #examine(source: string | undefined): Promise<DoctorAnswer> {
    const key = source ?? ''
    const running = this.#examining.get(key)
    if (running !== undefined) return running
    const examining = doctorAnswer(this.#options, source).finally(() => this.#examining.delete(key))
    this.#examining.set(key, examining)
    return examining
  }
}

const noSuchPath = (): HttpError =>
  new HttpError(404, 'NO_SUCH_PATH', 'There is nothing at this path of the console.')

const notAllowed = (): HttpError =>
  new HttpError(405, 'METHOD_NOT_ALLOWED', 'This path is not for that method.')
