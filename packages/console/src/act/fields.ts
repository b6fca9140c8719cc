import { HttpError } from '../http/http-error.ts'
import type { LetterFilter, Slots } from '../protocol.ts'

/** The fields of a body, each read once: what is not read is not known, and refused. Pure. */
export class Fields {
  readonly #body: Readonly<Record<string, unknown>>
  readonly #within: string
  readonly #read = new Set<string>()

  constructor(body: Readonly<Record<string, unknown>>, within = '') {
    this.#body = body
    this.#within = within
  }

  has(name: string): boolean {
    return this.#take(name) !== undefined
  }

  text(name: string, most = 255): string {
    const value = this.#take(name)
    if (typeof value === 'string' && value.trim() !== '' && value.length <= most && !value.includes('\0'))
      return value
    throw this.#unfit(name, `a text of at most ${most} characters`)
  }

  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined
  }

  integer(name: string, least: number, most: number): number {
    const value = this.#take(name)
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)
      return value as number
    throw this.#unfit(name, `an integer from ${least} to ${most}`)
  }

  optionalVersion(): number | undefined {
    return this.has('version') ? this.integer('version', 1, MOST_VERSION) : undefined
  }

  position(name: string): bigint {
    const value = this.#take(name)
    if (typeof value === 'string' && /^\d{1,18}$/.test(value)) return BigInt(value)
    throw this.#unfit(name, 'a position, as a text of digits')
  }

  /** `undefined`: it is `null`, which means before the first event. A slip must not mean that. */
  positionOrStart(name: string): bigint | undefined {
    return this.#take(name) === null ? undefined : this.position(name)
  }

  slots(name: string): Slots {
    const fields = this.#object(name)
    const from = fields.integer('from', 0, MOST_SLOT)
    const to = fields.integer('to', from, MOST_SLOT)
    fields.end()
    return { from, to }
  }

  texts(name: string, each: RegExp): readonly string[] {
    const value = this.#take(name)
    const isFit =
      Array.isArray(value) &&
      value.length > 0 &&
      value.length <= MOST_TEXTS &&
      value.every((text) => typeof text === 'string' && each.test(text))
    if (isFit) return value as readonly string[]
    throw this.#unfit(name, `from 1 to ${MOST_TEXTS} texts, each as ${each.source}`)
  }

  letterFilter(name: string): LetterFilter {
    const fields = this.#object(name)
    if (!fields.has('projection')) {
      throw new HttpError(
        400,
        'EMPTY_FILTER',
        'The filter says no projection: it would mean every dead letter there is.',
        ['Say of which projection.'],
      )
    }
    const projection = fields.text('projection')
    const version = fields.optionalVersion()
    const type = fields.optionalText('type')
    const error = fields.optionalText('error')
    fields.end()
    return {
      projection,
      ...(version === undefined ? {} : { version }),
      ...(type === undefined ? {} : { type }),
      ...(error === undefined ? {} : { error }),
    }
  }

  /** Throws where there is more than was read. */
  end(): void {
    const unknown = Object.keys(this.#body).find((name) => !this.#read.has(name))
    if (unknown !== undefined) throw this.#unfit(unknown.slice(0, 40), `nothing: there is no such field`)
  }

  #take(name: string): unknown {
    this.#read.add(name)
    return Object.hasOwn(this.#body, name) ? this.#body[name] : undefined
  }

  #object(name: string): Fields {
    const value = this.#take(name)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.#unfit(name, 'an object')
    return new Fields(value as Readonly<Record<string, unknown>>, `${name}.`)
  }

  #unfit(name: string, expected: string): HttpError {
    return new HttpError(400, 'BAD_BODY', `${this.#within}${name}: expected ${expected}.`)
  }
}

const MOST_VERSION = 1_000_000
const MOST_SLOT = 1_023
const MOST_TEXTS = 1_000
