import { shared } from './protocol.ts'

/** As text, which both clients and the Rust reader understand and ask for (`uuid_option`). */
export function uuidOf(id: string): shared.UUID {
  return new shared.UUID().setString(id)
}

export function parseUuid(uuid: shared.UUID | undefined): string {
  const structured = uuid?.getStructured()
  if (structured === undefined) return uuid?.getString() ?? ''
  const bits = (signed: string): string => BigInt.asUintN(64, BigInt(signed)).toString(16).padStart(16, '0')
  const hex = bits(structured.getMostSignificantBits()) + bits(structured.getLeastSignificantBits())
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
