import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import type { ChaosStore } from './store.ts'

/** What stands between a daemon and its server, and can fail as networks do. */
export interface Proxy {
  readonly url: string
  /** The connections there are go silent, also about their end. New ones work. */
  silence(): void
  /** As `silence`, and new connections are silent from the beginning. */
  pullCable(): void
  /** New connections work again, and the silent ones end. */
  plugIn(): void
  /** As `silence`, for answers alone: what the daemon asks still reaches the server. */
  swallowAnswers(): void
  /** The answers on the connections there are kept back. New ones work. */
  holdAnswers(): void
  /** Hands over what was kept back, all of it late. */
  giveAnswers(): void
  /** Ends the silent connections on both sides, as keepalive would some time later. */
  cutSilent(): void
  /** Ends every connection. */
  cut(): void
}

interface Pair {
  readonly client: Socket
  readonly upstream: Socket
  isDeaf: boolean
  isMute: boolean
  /** Answers that are kept back; `undefined`: none are. */
  held: Buffer[] | undefined
}

export async function startProxy({ server }: ChaosStore): Promise<Proxy> {
  const pairs = new Set<Pair>()
  let isPulled = false
  const listener = createServer((client) => {
    const upstream = connect(server.port, server.host)
    const pair: Pair = { client, upstream, isDeaf: isPulled, isMute: isPulled, held: undefined }
    pairs.add(pair)
    client.on('data', (data) => pair.isDeaf || upstream.write(data))
    upstream.on('data', (data) => {
      if (pair.held !== undefined) pair.held.push(data)
      else if (!pair.isMute) client.write(data)
    })
    // The server does not hear of the end of a silent connection; the daemon's own socket is gone by then.
    client.on('close', () => pair.isDeaf || end(pair))
    upstream.on('close', () => pair.isMute || end(pair))
    client.on('error', () => {})
    upstream.on('error', () => {})
  })
  const end = (pair: Pair): void => {
    pairs.delete(pair)
    pair.client.destroy()
    pair.upstream.destroy()
  }
  const silence = (): void => {
    for (const pair of pairs) pair.isDeaf = pair.isMute = true
  }
  const cutSilent = (): void => {
    for (const pair of pairs) if (pair.isMute) end(pair)
  }
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  onTestFinished(() => {
    for (const pair of pairs) end(pair)
    listener.close()
  })
  const url = new URL(server.url)
  url.port = String((listener.address() as AddressInfo).port)
  return {
    url: url.href,
    silence,
    pullCable: () => {
      isPulled = true
      silence()
    },
    plugIn: () => {
      isPulled = false
      cutSilent()
    },
    swallowAnswers: () => {
      for (const pair of pairs) pair.isMute = true
    },
    holdAnswers: () => {
      for (const pair of pairs) pair.held ??= []
    },
    giveAnswers: () => {
      for (const pair of pairs) {
        for (const data of pair.held ?? []) pair.client.write(data)
        pair.held = undefined
      }
    },
    cutSilent,
    cut: () => {
      for (const pair of pairs) end(pair)
    },
  }
}
