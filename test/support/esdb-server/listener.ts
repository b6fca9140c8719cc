import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'

const HOST = '127.0.0.1'

// An append is 1 MiB at most, with some room (real servers take 17 MiB: TFConsts.EffectiveMaxLogRecordSize).
const OPTIONS = { 'grpc.max_receive_message_length': 17 * 1024 * 1024, 'grpc.max_send_message_length': -1 }

/**
 * Accepts connections and hands them to a gRPC server. The sockets are ours, so that they can be reset, which gRPC has
 * no word for.
 */
export class Listener {
  readonly #sockets = new Set<Socket>()
  readonly #addServices: (server: GrpcServer) => void
  #port: number
  #server: Server | undefined
  #grpc: GrpcServer | undefined

  /** @param port - 0: a free one, and that one from then on. */
  constructor(port: number, addServices: (server: GrpcServer) => void) {
    this.#port = port
    this.#addServices = addServices
  }

  get port(): number {
    return this.#port
  }

  get connections(): number {
    return this.#sockets.size
  }

  async open(): Promise<void> {
    if (this.#server) return
    const grpc = new GrpcServer(OPTIONS)
    this.#addServices(grpc)
    const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
    const server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => this.#sockets.delete(socket))
      injector.injectConnection(socket)
    })
    this.#server = server
    this.#grpc = grpc
    await listen(server, this.#port)
    this.#port = (server.address() as AddressInfo).port
  }

  /** Resets every connection, and refuses new ones. */
  close(): void {
    this.#server?.close()
    this.#server = undefined
    this.cut()
    this.#grpc?.forceShutdown()
    this.#grpc = undefined
  }

  /** Resets (RST) the connections from these peers (`address:port`), or all. */
  cut(peers?: ReadonlySet<string>): number {
    const chosen = [...this.#sockets].filter(
      ({ remoteAddress, remotePort }) => peers?.has(`${remoteAddress}:${remotePort}`) ?? true,
    )
    for (const socket of chosen) socket.resetAndDestroy()
    return chosen.length
  }
}

/** The port of a server that was closed a moment ago may not be free yet. */
async function listen(server: Server, port: number): Promise<void> {
  for (let attempts = 0; ; attempts++) {
    try {
      server.listen(port, HOST)
      return void (await once(server, 'listening'))
    } catch (error) {
      if (port === 0 || attempts === 100) throw error
      await sleep(50)
    }
  }
}
