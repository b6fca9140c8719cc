import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream'
import { RelayHaltedError } from './errors.ts'
import { fromMessageId } from './message.ts'

const STREAM_NOT_FOUND = 10059
const NO_MESSAGE_FOUND = 10037

/** So many questions are under way at once, at most. */
const AT_ONCE = 500

/** Makes the stream where it is missing, and looks whether it is fit where it is there. */
export async function openStream(jsm: JetStreamManager, name: string, prefix: string): Promise<StreamConfig> {
  const found = await jsm.streams.info(name).catch(noneIf(STREAM_NOT_FOUND))
  if (found) return found.config
  const made = await jsm.streams.add({
    name,
    subjects: [`${prefix}.>`],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    // Full is full: the relay waits, and nothing that nobody has read is deleted.
    discard: DiscardPolicy.New,
  })
  return made.config
}

/** What of its settings may delete messages that nobody has read. Throws where the relay cannot work on such a stream. */
export function warningsOf(config: StreamConfig): readonly string[] {
  if (config.retention !== RetentionPolicy.Limits) {
    throw new RelayHaltedError(
      `the stream ${config.name} has the retention "${config.retention}", expected "limits": messages that consumers have ` +
        'acknowledged are gone, and after a crash the relay could not see that it has sent them',
    )
  }
  const isLimited = config.max_msgs > 0 || config.max_bytes > 0
  return [
    ...(config.max_age > 0 ? ['max_age deletes messages by their age'] : []),
    ...(config.max_msgs_per_subject > 0 ? ['max_msgs_per_subject deletes the older ones of a subject'] : []),
    ...(isLimited && config.discard === DiscardPolicy.Old
      ? ['discard "old" deletes messages when it is full']
      : []),
  ].map((what) => `the stream ${config.name}: ${what}, whether somebody has read them or not`)
}

/** Sequence of the newest message that the stream has ever had. */
export async function lastSequence(jsm: JetStreamManager, name: string): Promise<number> {
  return (await jsm.streams.info(name)).state.last_seq
}

export interface Found {
  readonly sequence: number
  readonly position: bigint
  readonly id: string
}

/** The relay's messages from one sequence to another; what was deleted meanwhile is left out. */
export async function messagesOf(
  jsm: JetStreamManager,
  name: string,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<readonly Found[]> {
  const found: Found[] = []
  for (let next = from; next <= to; next += AT_ONCE) {
    const sequences = Array.from({ length: Math.min(AT_ONCE, to - next + 1) }, (_, index) => next + index)
    const messages = await Promise.all(
      sequences.map((seq) => jsm.streams.getMessage(name, { seq }).catch(noneIf(NO_MESSAGE_FOUND))),
    )
    for (const message of messages) {
      const event = message ? fromMessageId(message.header.get('Nats-Msg-Id')) : undefined
      if (message && event) found.push({ sequence: message.seq, ...event })
    }
  }
  return found
}

function noneIf(code: number): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof JetStreamApiError && error.code === code) return undefined
    throw error
  }
}
