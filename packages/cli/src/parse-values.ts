import { SLOTS } from '@tidemark/core/adapter'
import { InvalidArgumentError } from 'commander'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000 }
const LONGEST_MS = 2_147_483_647

/** `500ms`, `30s`, `5m`, `2h`; a number alone is seconds. In milliseconds. */
export function parseDuration(text: string): number {
  const [, number = '', unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|min|m|h)?$/.exec(text.trim()) ?? []
  const ms = Math.round(Number(number) * (UNITS[unit] ?? Number.NaN))
  if (number === '' || !(ms >= 1 && ms <= LONGEST_MS)) {
    throw new InvalidArgumentError('A time is written so: 500ms, 30s, 5m or 2h, up to 24 days.')
  }
  return ms
}

/** A whole number above 0. */
export function parseCount(text: string): number {
  const number = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number) || number < 1) {
    throw new InvalidArgumentError('It is a whole number of at least 1.')
  }
  return number
}

export function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError('A port is a number from 1 to 65535.')
  }
  return port
}

export function parsePosition(text: string): bigint {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('A position is a number, as 4711.')
  return BigInt(text)
}

/** `0-511`: the slots of a shard, both ends included. */
export function parseSlots(text: string): { readonly from: number; readonly to: number } {
  const [, from, to] = /^(\d{1,4})-(\d{1,4})$/.exec(text) ?? []
  const slots = { from: Number(from), to: Number(to) }
  if (!(slots.from <= slots.to && slots.to < SLOTS)) {
    throw new InvalidArgumentError(`Slots are written so: 0-511, from 0 to ${SLOTS - 1}.`)
  }
  return slots
}

/** Of an entry of the audit. */
export function parseId(text: string): bigint {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It is the number of an entry, as 17.')
  return BigInt(text)
}

/** `undefined`: before the first event. */
export function parsePlace(text: string): { readonly position: bigint | undefined } {
  return { position: text === 'start' ? undefined : parsePosition(text) }
}

/** Of an option that may be given several times. */
export function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text]
}
