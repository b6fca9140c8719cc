import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { onTestFinished } from 'vitest'
import { until } from '../chaos/until.ts'

const version = spawnSync('nats-server', ['--version'], { encoding: 'utf8' })
const isInstalled = version.error === undefined

/** Major and minor; empty where it is not installed. */
export const natsVersion: readonly number[] = (
  /v(\d+)\.(\d+)\./.exec(version.stdout ?? '')?.slice(1) ?? []
).map(Number)

/** Whether tests that need it are skipped, and what their name then says. CI installs it, and fails where it did not. */
export const isSkipped: boolean = !isInstalled && process.env.CI !== 'true'
export const because: string = isSkipped
  ? ' (skipped: nats-server is not installed, see CONTRIBUTING.md)'
  : ''

const HOST = '127.0.0.1'
const AT_ONCE = 200

/** What is asked while the connection goes is never answered. */
const ANSWER_WITHIN_MS = 1_000

/** A broker with JetStream, its data in a folder of its own, behind an address that stays the same. */
export interface Nats {
  readonly url: string
  /** Where its data are. */
  readonly folder: string
  /** SIGKILL, or SIGTERM: resolves when its process has ended. */
  stop(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
  /** Again, over the same data. */
  start(): Promise<void>
  /** Ends every connection; the broker does not stop. */
  cut(): void
  /** Ended with the test. */
  connect(): Promise<Clients>
}

export interface Clients {
  readonly nats: NatsConnection
  readonly js: JetStreamClient
  readonly jsm: JetStreamManager
}

export interface NatsOptions {
  /** More arguments of the server. */
  readonly flags?: readonly string[]
  /** Where its data are to be, in place of a folder of their own. */
  readonly storage?: string
}

/** Stopped and deleted with the test. */
export async function startNats({ flags = [], storage }: NatsOptions = {}): Promise<Nats> {
  const own = await mkdtemp(join(tmpdir(), 'tidemark-nats-'))
  const folder = storage ?? own
  let child: ChildProcess | undefined
  let port = 0
  const start = async (): Promise<void> => {
    // The broker takes any port that is free, and says which.
    const options = ['-a', HOST, '-p', '-1', '-js', '-sd', folder, '--ports_file_dir', own, ...flags]
    const started = spawn('nats-server', options, { stdio: 'ignore' })
    let failure: Error | undefined
    started.once('error', (error) => {
      failure = error
    })
    child = started
    port = await until('nats-server says its port', async () => {
      if (failure) return -1
      const said = await readFile(join(own, `nats-server_${started.pid}.ports`), 'utf8')
      const { nats } = JSON.parse(said) as { readonly nats: readonly [string] }
      return Number(new URL(nats[0]).port)
    })
    if (failure) throw new Error('nats-server did not start', { cause: failure })
  }
  const stop = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
  const kill = (): void => void child?.kill('SIGKILL')
  process.once('exit', kill)

  // Its port changes with each start: clients know that of a proxy.
  const sockets = new Set<Socket>()
  const proxy = createServer((client) => {
    const upstream = connectSocket(port, HOST)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.pipe(other)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
  })
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(async () => {
    proxy.close()
    cut()
    await stop('SIGKILL')
    process.removeListener('exit', kill)
    await rm(own, { recursive: true, force: true })
  })
  proxy.listen(0, HOST)
  await once(proxy, 'listening')
  await start()
  const url = `nats://${HOST}:${(proxy.address() as AddressInfo).port}`
  return { url, folder, start, stop, cut, connect: () => connectTo(url) }
}

async function connectTo(url: string): Promise<Clients> {
  const nats = await connect({
    servers: url,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  })
  onTestFinished(() => nats.close())
  const jsm = await jetstreamManager(nats, { checkAPI: false, timeout: ANSWER_WITHIN_MS })
  await until('JetStream answers', () => jsm.getAccountInfo())
  return { nats, js: jetstream(nats), jsm }
}

/** What is in a stream. */
export interface Stored {
  readonly sequence: number
  readonly subject: string
  readonly id: string
  readonly position: number
}

export async function storedIn({ jsm }: Clients, stream: string): Promise<readonly Stored[]> {
  const { state } = await jsm.streams.info(stream)
  const read = async (seq: number): Promise<Stored> => {
    const message = await jsm.streams.getMessage(stream, { seq })
    if (!message) throw new Error(`message ${seq} of ${stream} is gone`)
    const id = message.header.get('Nats-Msg-Id')
    return { sequence: seq, subject: message.subject, id, position: Number.parseInt(id, 10) }
  }
  const stored: Stored[] = []
  for (let from = state.first_seq; state.messages > 0 && from <= state.last_seq; from += AT_ONCE) {
    const length = Math.min(AT_ONCE, state.last_seq - from + 1)
    stored.push(...(await Promise.all(Array.from({ length }, (_, index) => read(from + index)))))
  }
  return stored
}
