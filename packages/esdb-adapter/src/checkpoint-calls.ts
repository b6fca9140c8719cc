import { inTurn } from './append-turns.ts'
import {
  type EsdbCheckpointsClient,
  type EsdbEventData,
  type EsdbRecord,
  expecting,
  originalRecord,
} from './client.ts'
import type { ClientInUse } from './client-in-use.ts'
import { answered, readEach } from './read.ts'

/** The calls about the streams of checkpoints. Each ends when the signal fires, or nothing has come for `timeoutMs`. */
export class CheckpointCalls {
  readonly #client: ClientInUse<EsdbCheckpointsClient>
  readonly #timeoutMs: number

  constructor(client: ClientInUse<EsdbCheckpointsClient>, timeoutMs: number) {
    this.#client = client
    this.#timeoutMs = timeoutMs
  }

  /** Every record of a stream, oldest first. */
  async readAll(stream: string, signal: AbortSignal, take: (record: EsdbRecord) => void): Promise<void> {
    await this.#readEach(stream, { direction: 'forwards', fromRevision: 'start' }, signal, take)
  }

  async readLast(stream: string, signal: AbortSignal, take: (record: EsdbRecord) => void): Promise<void> {
    await this.#readEach(stream, { direction: 'backwards', fromRevision: 'end', maxCount: 1 }, signal, take)
  }

  async append(
    stream: string,
    event: EsdbEventData,
    expected: bigint | 'no_stream' | 'any',
    signal: AbortSignal,
  ): Promise<{ readonly success: boolean; readonly nextExpectedRevision: bigint }> {
    return await this.#answered(`append to stream "${stream}"`, signal, (client) =>
      client.appendToStream(stream, event, expecting(expected)),
    )
  }

  async keepLastOnly(stream: string, signal: AbortSignal): Promise<void> {
    await this.#answered(`metadata of stream "${stream}"`, signal, (client) =>
      client.setStreamMetadata(stream, { maxCount: 1 }),
    )
  }

  async #readEach(
    stream: string,
    options: {
      readonly direction: 'forwards' | 'backwards'
      readonly fromRevision: 'start' | 'end'
      readonly maxCount?: number
    },
    signal: AbortSignal,
    take: (record: EsdbRecord) => void,
  ): Promise<void> {
    await readEach(
      `stream "${stream}"`,
      () =>
        this.#client.read((client) =>
          client.readStream(stream, {
            maxCount: Number.MAX_SAFE_INTEGER,
            ...options,
            resolveLinkTos: false,
            // Read from the leader: another node may not have the last checkpoint yet, and work would be done twice.
            requiresLeader: true,
          }),
        ),
      { timeoutMs: this.#timeoutMs, signal },
      (event) => {
        take(originalRecord(event))
        return true
      },
    )
  }

  #answered<T>(
    what: string,
    signal: AbortSignal,
    call: (client: EsdbCheckpointsClient) => Promise<T>,
  ): Promise<T> {
    return inTurn(signal, () =>
      answered(what, { timeoutMs: this.#timeoutMs, signal }, () => this.#client.call(call)),
    )
  }
}
