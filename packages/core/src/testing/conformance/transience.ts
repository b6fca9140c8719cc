import { expectEqual, expectThat } from './expectations.ts'

/** What may arrive as an error: anything can be thrown, by a handler too. */
const ODD_VALUES: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 0],
  ['an empty string', ''],
  ['a string', 'connection lost'],
  ['a bigint', 1n],
  ['a symbol', Symbol('thrown')],
  ['a function', () => {}],
  ['an array', []],
  ['an object', {}],
  ['an object without a prototype', Object.create(null)],
  ['an Error without a message', Object.assign(new Error(), { message: undefined })],
  ['an Error with a code that is no string', Object.assign(new Error('odd'), { code: 42 })],
  ['an Error with a code of null', Object.assign(new Error('odd'), { code: null })],
]

const MISTAKES: readonly Error[] = [
  new Error('the handler failed'),
  new TypeError("Cannot read properties of undefined (reading 'amount')"),
  new RangeError('Maximum call stack size exceeded'),
  new SyntaxError('Unexpected end of JSON input'),
]

interface Judge {
  isTransient(error: unknown): boolean
}

export async function expectTotal(judge: Judge): Promise<void> {
  for (const [what, value] of ODD_VALUES) {
    let found: unknown
    try {
      found = judge.isTransient(value)
    } catch (error) {
      found = error
    }
    expectEqual(typeof found, 'boolean', `isTransient(${what}) returns a boolean and does not throw`)
  }
}

export async function expectMistakesCount(judge: Judge): Promise<void> {
  for (const mistake of MISTAKES) {
    expectThat(!judge.isTransient(mistake), 'a mistake would be tried again for ever', mistake)
  }
}
