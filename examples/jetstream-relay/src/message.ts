import type { RelayedEvent } from './event.ts'

export interface Message {
  readonly subject: string
  /** The broker removes repeats by it for some minutes, and consumers for as long as they keep it. */
  readonly id: string
  readonly payload: Uint8Array
}

export interface Subjects {
  /** What all subjects begin with. */
  readonly prefix: string
  /** Over how many consumers the subjects spread. Another number sends keys elsewhere: choose it once. */
  readonly partitions: number
}

export function toMessage(event: RelayedEvent, subjects: Subjects): Message {
  return {
    subject: subjectOf(event.key, subjects),
    id: messageId(event),
    payload: Buffer.from(JSON.stringify({ type: event.type, data: event.data })),
  }
}

/** `events.3.order-17`: all events of a key have one subject, and a subject has one partition. */
export function subjectOf(key: string, { prefix, partitions }: Subjects): string {
  return `${prefix}.${partitionOf(key, partitions)}.${token(key)}`
}

export function messageId({ position, id }: Pick<RelayedEvent, 'position' | 'id'>): string {
  return `${position}.${id}`
}

/** `undefined` of a message that the relay did not send. */
export function fromMessageId(text: string): { readonly position: bigint; readonly id: string } | undefined {
  const [, position, id] = /^(\d+)\.(.+)$/s.exec(text) ?? []
  return position === undefined || id === undefined ? undefined : { position: BigInt(position), id }
}

/** FNV-1a of the key's bytes. */
function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % partitions
}

/** Dots, wildcards and white space have a meaning in subjects. */
function token(key: string): string {
  return encodeURIComponent(key).replaceAll('.', '%2E').replaceAll('*', '%2A')
}
