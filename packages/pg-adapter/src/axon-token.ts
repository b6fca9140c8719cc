import { parseCheckpoint } from './consumer-checkpoint.ts'

/** What a token of Axon says: it has passed what is at or below its index, without the gaps; or why it does not say that. */
export type AxonToken =
  | { readonly index: bigint; readonly gaps: readonly bigint[] }
  | { readonly cannotTell: string }

/** Four times what a token with the most gaps takes that Axon keeps (10,000). */
const LONGEST_BYTES = 1_000_000

const OTHER_TYPES: Readonly<Record<string, string>> = {
  ReplayToken: 'it is replayed',
  MergedTrackingToken: 'it was merged from two that had not come equally far',
  MultiSourceTrackingToken: 'it reads several sources',
  GlobalSequenceTrackingToken: 'it reads another store than this table',
}

/**
 * Reads a stored `GapAwareTrackingToken`: JSON, or XML as XStream writes it. It never throws, and guesses nothing: a content
 * that is not exactly one of these says nothing.
 *
 * @param type - the token's class, as the token table has it; `undefined` where nothing was stored yet
 */
export function parseAxonToken(type: string | undefined, bytes: Uint8Array | undefined): AxonToken {
  if (type === undefined || bytes === undefined) return { cannotTell: 'it has not begun' }
  const name = type.slice(type.lastIndexOf('.') + 1)
  if (name !== 'GapAwareTrackingToken') {
    const because = Object.hasOwn(OTHER_TYPES, name) ? OTHER_TYPES[name] : undefined
    return { cannotTell: because ?? 'tokens of its class are not known here' }
  }
  // CBOR, and Java's own serialization, are no such text.
  const text = bytes.length > LONGEST_BYTES ? '' : new TextDecoder().decode(bytes)
  const token = fromJson(text) ?? fromXml(text)
  if (token === undefined) return { cannotTell: 'its token is neither JSON nor XML as Axon writes it' }
  // Axon refuses to read such a token too.
  if (token.gaps.some((gap) => gap >= token.index))
    return { cannotTell: 'its token has a gap above its index' }
  return token
}

interface Parsed {
  readonly index: bigint
  readonly gaps: readonly bigint[]
}

function fromJson(text: string): Parsed | undefined {
  const checkpoint = parseCheckpoint(text)
  return checkpoint?.kind === 'gaps' ? { index: checkpoint.position, gaps: checkpoint.gaps } : undefined
}

const NUMBER = String.raw`-?\d{1,19}`
const LONG = `<long>${NUMBER}</long>`
const SKIP_LIST = String.raw`java\.util\.concurrent\.ConcurrentSkipList`

/** `GapAwareTrackingTokenConverter` writes this, from 4.7 on; elements may stand on lines of their own. */
const CONVERTED = elements(String.raw`(?:<gaps/>|<gaps>(?<gaps>(?:\s*${LONG})*)\s*</gaps>)`)

/** What came before: the fields of the set, each gap followed by the value that the set's map has for it. */
const REFLECTED = elements(
  `<gaps class="${SKIP_LIST}Set">`,
  `<m class="${SKIP_LIST}Map" serialization="custom">`,
  '<unserializable-parents/>',
  `<${SKIP_LIST}Map>`,
  '<default/>',
  String.raw`(?<gaps>(?:\s*${LONG}\s*<boolean>true</boolean>)*)`,
  '<null/>',
  `</${SKIP_LIST}Map>`,
  '</m>',
  '</gaps>',
)

/** A whole token, whose gaps are these elements. */
function elements(...gaps: readonly string[]): RegExp {
  const whole = [
    String.raw`<(?<type>org\.axonframework\.(?:[a-z]+\.)+GapAwareTrackingToken)>`,
    `<index>(?<index>${NUMBER})</index>`,
    ...gaps,
    String.raw`</\k<type>>`,
  ]
  return new RegExp(String.raw`^\s*${whole.join(String.raw`\s*`)}\s*$`)
}

function fromXml(text: string): Parsed | undefined {
  const { index, gaps = '' } = (CONVERTED.exec(text) ?? REFLECTED.exec(text))?.groups ?? {}
  if (index === undefined) return undefined
  return {
    index: BigInt(index),
    gaps: [...gaps.matchAll(/<long>(-?\d+)<\/long>/g)].map(([, gap]) => BigInt(String(gap))),
  }
}
