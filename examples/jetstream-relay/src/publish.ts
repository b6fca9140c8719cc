import type { JetStreamClient } from '@nats-io/jetstream'
import type { Message } from './message.ts'

/** What was lost on the way is known after that. */
const ACKNOWLEDGED_WITHIN_MS = 5_000

/**
 * Publishes all of them at once, each on the condition that it comes right behind the one before it, the first one right behind
 * `after`. So what is stored is always the first so many of them, in their order: where one is refused or gets lost, those behind
 * it are refused as well. Throws unless all are known to be stored.
 */
export async function publishInOrder(
  js: JetStreamClient,
  stream: string,
  messages: readonly Message[],
  after: number,
): Promise<void> {
  const answers = await Promise.allSettled(
    messages.map(({ subject, payload, id }, index) =>
      js.publish(subject, payload, {
        msgID: id,
        timeout: ACKNOWLEDGED_WITHIN_MS,
        expect: { streamName: stream, lastSequence: after + index },
      }),
    ),
  )
  for (const [index, answer] of answers.entries()) {
    if (answer.status === 'rejected') throw answer.reason
    // A repeat that the broker has removed stands where it was stored: only its own place is good.
    if (answer.value.seq !== after + index + 1) {
      throw new Error(
        `message ${messages[index]?.id} was expected at ${after + index + 1} of the stream ${stream}, and stands at ` +
          `${answer.value.seq}: it was sent before, and has been deleted or is looked for`,
      )
    }
  }
}
