import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { axonProcessors } from '../../packages/pg-adapter/src/axon-processors.ts'
import { type AxonToken, parseAxonToken } from '../../packages/pg-adapter/src/axon-token.ts'

const RUNS = { numRuns: 500 }

const AXON_4 = 'org.axonframework.eventhandling.GapAwareTrackingToken'
const AXON_5 = 'org.axonframework.messaging.eventhandling.processing.streaming.token.GapAwareTrackingToken'

interface Token {
  readonly index: bigint
  readonly gaps: readonly bigint[]
}

/** Numbers that JSON can tell exactly. */
const tokens: fc.Arbitrary<Token> = fc
  .record({
    index: fc.bigInt({ min: -1n, max: BigInt(Number.MAX_SAFE_INTEGER) }),
    below: fc.uniqueArray(fc.bigInt({ min: 1n, max: 10_000n }), { maxLength: 30 }),
  })
  .map(({ index, below }) => ({
    index,
    gaps: below.map((distance) => index - distance).toSorted((a, b) => (a < b ? -1 : 1)),
  }))

const long = (gap: bigint): string => `<long>${gap}</long>`

/** As Axon writes a token: the class, and the content. */
const FORMATS: Readonly<Record<string, (token: Token) => readonly [type: string, content: string]>> = {
  'JSON of Axon 5': ({ index, gaps }) => [AXON_5, `{"index":${index},"gaps":[${gaps.join(',')}]}`],
  'XML since Axon 4.7': ({ index, gaps }) => [
    AXON_4,
    `<${AXON_4}><index>${index}</index>${gaps.length === 0 ? '<gaps/>' : `<gaps>${gaps.map(long).join('')}</gaps>`}</${AXON_4}>`,
  ],
  'XML since Axon 4.7, on lines of its own': ({ index, gaps }) => [
    AXON_4,
    `<${AXON_4}>\n  <index>${index}</index>\n  <gaps>\n${gaps.map((gap) => `    ${long(gap)}\n`).join('')}  </gaps>\n</${AXON_4}>`,
  ],
  'XML before Axon 4.7': ({ index, gaps }) => [
    AXON_4,
    `<${AXON_4}><index>${index}</index><gaps class="java.util.concurrent.ConcurrentSkipListSet">` +
      '<m class="java.util.concurrent.ConcurrentSkipListMap" serialization="custom"><unserializable-parents/>' +
      `<java.util.concurrent.ConcurrentSkipListMap><default/>${gaps.map((gap) => `${long(gap)}<boolean>true</boolean>`).join('')}` +
      `<null/></java.util.concurrent.ConcurrentSkipListMap></m></gaps></${AXON_4}>`,
  ],
}

const parse = (type: string, content: string): AxonToken => parseAxonToken(type, Buffer.from(content))

describe.each(Object.entries(FORMATS))('a token in %s', (_, format) => {
  test('says what was written', () => {
    fc.assert(
      fc.property(tokens, (token) => {
        expect(parse(...format(token))).toEqual(token)
      }),
      RUNS,
    )
  })

  test('says nothing where it was cut off, or goes on', () => {
    fc.assert(
      fc.property(tokens, fc.nat(), (token, at) => {
        const [type, content] = format(token)
        const cut = at % content.length
        expect(parse(type, content.slice(0, cut))).toHaveProperty('cannotTell')
        expect(parse(type, content.slice(cut + 1))).toHaveProperty('cannotTell')
        expect(parse(type, content + content.slice(cut))).toHaveProperty('cannotTell')
      }),
      RUNS,
    )
  })

  test('says nothing of its index under another class', () => {
    fc.assert(
      fc.property(tokens, fc.constantFrom('ReplayToken', 'MergedTrackingToken', 'Other'), (token, name) => {
        const [type, content] = format(token)
        const other = type.replace('GapAwareTrackingToken', name)
        expect(parse(other, content)).toHaveProperty('cannotTell')
      }),
      RUNS,
    )
  })
})

test('whatever is stored, reading it never fails', () => {
  const types = fc.oneof(
    fc.constantFrom(AXON_4, AXON_5, 'GapAwareTrackingToken', '', 'constructor'),
    fc.string(),
  )
  const contents = fc.oneof(
    fc.uint8Array(),
    fc.string().map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(types, contents, (type, content) => {
      expect(parseAxonToken(type, content)).toHaveProperty('cannotTell')
    }),
    RUNS,
  )
})

test.each([
  ['a gap at its index', '{"index":7,"gaps":[7]}'],
  ['numbers that JSON cannot tell exactly', '{"index":9007199254740993,"gaps":[]}'],
  ['a gap that is no number', '{"index":7,"gaps":["5"]}'],
  ['a comment within', `<${AXON_4}><index>7</index><!-- <gaps/> --><gaps/></${AXON_4}>`],
  ['an entity', `<!DOCTYPE x [<!ENTITY y "7">]><${AXON_4}><index>&y;</index><gaps/></${AXON_4}>`],
  [
    'a set of another kind',
    `<${AXON_4}><index>7</index><gaps class="tree-set"><long>5</long></gaps></${AXON_4}>`,
  ],
  ['another class within', `<${AXON_5}><index>7</index><gaps/></${AXON_4}>`],
  ['one of very many bytes', `{"index":7,"gaps":[${' '.repeat(1_000_000)}]}`],
])('a token with %s says nothing', (_, content) => {
  expect(parse(AXON_4, content)).toHaveProperty('cannotTell')
})

test('CBOR says nothing, and neither does a row without a token', () => {
  const cbor = Buffer.from('bf65696e6465780764676170739fffff', 'hex')
  expect(parseAxonToken(AXON_4, cbor)).toEqual({
    cannotTell: expect.stringContaining('neither JSON nor XML'),
  })
  expect(parseAxonToken(undefined, undefined)).toEqual({ cannotTell: 'it has not begun' })
})

test('a processor has passed an event when all of its segments have, and no token keeps it as a gap', () => {
  const stored = (token: Token) => ({
    type: AXON_5,
    token: Buffer.from(`{"index":${token.index},"gaps":[${token.gaps.join(',')}]}`),
  })
  const small = fc
    .record({
      index: fc.bigInt({ min: 0n, max: 12n }),
      gaps: fc.uniqueArray(fc.bigInt({ min: 0n, max: 11n })),
    })
    .map(({ index, gaps }) => ({ index, gaps: gaps.filter((gap) => gap < index) }))
  fc.assert(
    fc.property(
      fc.array(small, { minLength: 1, maxLength: 4 }),
      fc.array(small, { maxLength: 3 }),
      (own, others) => {
        const rows = [
          ...own.map((token, segment) => ({ processor: 'p', segment: String(segment), ...stored(token) })),
          ...others.map((token, segment) => ({ processor: 'q', segment: String(segment), ...stored(token) })),
        ]
        const checkpoint = axonProcessors(rows).find(({ consumer }) => consumer === 'p')?.checkpoint
        if (checkpoint?.kind !== 'gaps') throw new TypeError('every token can be read')
        for (let event = 0n; event <= 12n; event++) {
          const isPassed = own.every(({ index }) => event <= index)
          const isKept = [...own, ...others].some(({ gaps }) => gaps.includes(event))
          const isSaidPassed = event <= checkpoint.position && !checkpoint.gaps.includes(event)
          expect(isSaidPassed).toBe(isPassed && !isKept)
        }
      },
    ),
    RUNS,
  )
})

test('one segment that cannot be read makes the processor one of which nothing can be told, and says why', () => {
  const rows = [
    {
      processor: 'p',
      segment: '10',
      type: 'org.axonframework.eventhandling.ReplayToken',
      token: Buffer.from('{}'),
    },
    { processor: 'p', segment: '2', type: AXON_4, token: Buffer.from('{"index":9,"gaps":[1,2,3,4,5,6,7]}') },
  ]
  expect(axonProcessors(rows)).toEqual([
    {
      consumer: 'p',
      checkpoint: undefined,
      text: 'segment 2: 9 without 1, 2, 3, 4, 5 and 2 more; segment 10: cannot tell, it is replayed',
      run: undefined,
    },
  ])
})
