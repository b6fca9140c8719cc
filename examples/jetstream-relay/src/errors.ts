/** The message of an event is larger than the broker takes. No other try changes that. */
export class MessageTooLargeError extends Error {
  override readonly name = 'MessageTooLargeError'

  constructor(position: bigint, bytes: number, maxBytes: number) {
    super(
      `the message of event ${position} has ${bytes} bytes, and the broker takes ${maxBytes}: raise max_payload of the ` +
        'server and max_msg_size of the stream, restart the relay, and retry the dead letter',
    )
  }
}

/** The relay cannot know what is right: a person decides. */
export class RelayHaltedError extends Error {
  override readonly name = 'RelayHaltedError'
}
