import { ALL_SLOTS, type Unit } from '@tidemark/core/adapter'
import type { EsdbRecord } from './client.ts'

/**
 * The prefix is not `$`, since such streams are for administrators by default. Sources of `$all` know this name, so
 * that an appended checkpoint never looks like a new event.
 */
const PREFIX = 'tidemark-checkpoint'

/** Which checkpoints there are: one event for each, written with its first. */
export const CHECKPOINTS_STREAM: string = `${PREFIX}s`

/** `#` begins what no name of a whole projection can look like. */
export function checkpointStream({ projection, version, slots }: Unit): string {
  const isWhole = version === 1 && slots.from === ALL_SLOTS.from && slots.to === ALL_SLOTS.to
  return isWhole ? `${PREFIX}-${projection}` : `${PREFIX}#${version}/${slots.from}-${slots.to}-${projection}`
}

const LINK_TYPE = '$>'

/** Tidemark's own: a checkpoint, the metadata of its stream, or a link to one that a system projection has made. */
export function isOfCheckpoints({ streamId, type, data }: EsdbRecord): boolean {
  if (streamId.startsWith(PREFIX) || streamId.startsWith(`$$${PREFIX}`)) return true
  return type === LINK_TYPE && linkTarget(data).startsWith(PREFIX)
}

/** A link's data is `revision@stream`. */
function linkTarget(data: unknown): string {
  const text = data instanceof Uint8Array ? Buffer.from(data).toString('utf8') : String(data)
  return text.slice(text.indexOf('@') + 1)
}
