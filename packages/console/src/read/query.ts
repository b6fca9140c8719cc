import { HttpError } from '../http/http-error.ts'

const LONGEST = 2_000
const MOST_ROWS = 500
const ROWS = 100

/** What stands behind the `?` of a URL. Everything in it was written by somebody else. */
export class Query {
  readonly #parameters: URLSearchParams

  constructor(parameters: URLSearchParams) {
    this.#parameters = parameters
  }

  /** `undefined`: it is left out, or empty. */
  text(name: string): string | undefined {
    const value = this.#parameters.get(name)
    if (value === null || value === '') return undefined
    if (value.length > LONGEST || value.includes('\0')) throw unfit(name, 'a shorter text, without NUL')
    return value
  }

  required(name: string): string {
    const value = this.text(name)
    if (value === undefined) throw unfit(name, 'a text')
    return value
  }

  /** Digits, of a number that may be larger than JavaScript can hold. */
  digits(name: string): string | undefined {
    const value = this.text(name)
    if (value !== undefined && !/^\d{1,18}$/.test(value)) throw unfit(name, 'a number of at most 18 digits')
    return value
  }

  version(): number | undefined {
    const value = this.digits('version')
    return value === undefined ? undefined : Number(value)
  }

  limit(): number {
    const value = Number(this.digits('limit') ?? ROWS)
    if (value < 1 || value > MOST_ROWS) throw unfit('limit', `a number from 1 to ${MOST_ROWS}`)
    return value
  }

  /** `undefined`: any of them. */
  oneOf<T extends string>(name: string, values: readonly T[], otherwise: T): T | undefined {
    const value = this.text(name) ?? otherwise
    if (value === 'any') return undefined
    const found = values.find((each) => each === value)
    if (found === undefined) throw unfit(name, `one of ${values.join(', ')}, any`)
    return found
  }

  has(name: string): boolean {
    return this.text(name) === '1'
  }
}

const unfit = (name: string, expected: string): HttpError =>
  new HttpError(400, 'BAD_QUERY', `${name}: expected ${expected}.`)
