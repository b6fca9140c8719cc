import { InvalidOptionError } from './errors.ts'

/**
 * Refuses an option that does not exist: in JavaScript, a misspelt option would leave its default in force without a
 * word. The error does not repeat the value, which may be a connection string. Fields of a class instance are not
 * checked.
 *
 * @param known - every option of `T`; the compiler makes sure that none is missing
 * @param within - what the options are part of, `projections[0]`
 */
export function requireKnownOptions<T extends object>(
  options: T,
  known: Readonly<Record<keyof T, true>>,
  within?: string,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionError(within ?? 'options', 'an object', options)
  }
  if (!isPlain(options)) return
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue
    const option = within === undefined ? name : `${within}.${name}`
    throw new InvalidOptionError(option, `one of the options ${Object.keys(known).join(', ')}`, name)
  }
}

function isPlain(options: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(options)
  return prototype === Object.prototype || prototype === null
}
