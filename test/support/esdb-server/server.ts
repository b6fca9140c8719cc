import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type GenerationName, NEWEST } from './generations.ts'
import { COMMANDS, type Command, type Reply, type Request, type Steering } from './steering.ts'

export interface StartOptions {
  /** @default a free one */
  readonly port?: number
  /** The offset at which the log begins. @default 0n */
  readonly basePosition?: bigint
  /** How it behaves: see generations.ts. @default `TIDEMARK_ESDB_GENERATION`, or the newest */
  readonly generation?: GenerationName
}

/** Every command, as the side that gives it sees it. */
export type Steer = {
  [Name in keyof Steering]: (
    ...args: Parameters<Steering[Name]>
  ) => Promise<Awaited<ReturnType<Steering[Name]>>>
}

export interface EsdbServer extends Steer {
  /** For either client. */
  readonly connectionString: string
  readonly port: number
  /** The process that serves. */
  readonly pid: number
  /**
   * Stops the whole process in its tracks (SIGSTOP): connections stay open, and nothing answers, not even pings. Thaw it
   * before commanding anything.
   */
  freeze(): void
  thaw(): void
  /** Ends the process; may be called twice. */
  stop(): Promise<void>
}

/** Starts a server in a process of its own, which ends with this one at the latest. */
export async function startEsdbServer(options: StartOptions = {}): Promise<EsdbServer> {
  // From TypeScript sources the program is what `tsc -b` made of it; compiled, it lies beside this file.
  const main = new URL(import.meta.url.endsWith('.ts') ? './dist/main.js' : './main.js', import.meta.url)
  const args = ['--port', String(options.port ?? 0), '--base-position', String(options.basePosition ?? 0n)]
  args.push('--generation', options.generation ?? process.env.TIDEMARK_ESDB_GENERATION ?? NEWEST)
  const child = fork(fileURLToPath(main), args, {
    serialization: 'advanced',
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  // Also one that is frozen, and does not see that its parent is gone.
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('exit', () => process.removeListener('exit', kill))
  const replies = new Replies(child)
  const port = await replies.started
  return {
    ...steering((command) => replies.of(command)),
    connectionString: `esdb://127.0.0.1:${port}?tls=false`,
    port,
    pid: child.pid ?? 0,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      // Who waits for its end lives until then.
      child.ref()
      kill()
      await once(child, 'exit')
    },
  }
}

function steering(send: (command: Command) => Promise<unknown>): Steer {
  const commands = COMMANDS.map((name) => [name, (...args: unknown[]) => send({ name, args } as Command)])
  return Object.fromEntries(commands) as Steer
}

/** Commands and what came of them. */
class Replies {
  readonly started: Promise<number>
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>()
  #nextId = 0

  constructor(child: ChildProcess) {
    this.#child = child
    this.started = new Promise((resolve, reject) => {
      child.on('message', (reply: Reply) => {
        if ('port' in reply) resolve(reply.port)
        else this.#settle(reply)
      })
      child.once('error', reject)
      child.once('exit', (code, signal) => {
        const error = new Error(`the server's process has ended (${signal ?? code})`)
        reject(error)
        for (const { reject: rejectReply } of this.#waiting.values()) rejectReply(error)
        this.#waiting.clear()
      })
    })
    this.started.then(
      () => this.#idle(),
      () => {},
    )
  }

  of(command: Command): Promise<never> {
    const request: Request = { id: this.#nextId++, command }
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve, reject })
      this.#child.channel?.ref()
      this.#child.send(request, (error) => {
        if (error) reject(error)
      })
    })
  }

  #settle(reply: Exclude<Reply, { port: number }>): void {
    const waiting = this.#waiting.get(reply.id)
    this.#waiting.delete(reply.id)
    if ('error' in reply) waiting?.reject(new Error(reply.error))
    else waiting?.resolve(reply.result as never)
    this.#idle()
  }

  /** The server keeps nobody alive who does not wait for it. */
  #idle(): void {
    if (this.#waiting.size > 0) return
    this.#child.unref()
    this.#child.channel?.unref()
  }
}
