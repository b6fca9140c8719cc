type Row = Readonly<Record<string, unknown>>

/**
 * The same rows in objects of their own, so that whoever is given them may change them. `undefined` where a parser of the pool has
 * made something of which nobody knows how to copy it.
 */
export function copyRows(rows: readonly Row[]): Record<string, unknown>[] | undefined {
  try {
    return rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([column, value]) => [column, copyOf(value)])),
    )
  } catch (error) {
    if (error === UNKNOWN) return undefined
    throw error
  }
}

const UNKNOWN = Symbol('of no known kind')

function copyOf(value: unknown): unknown {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return value
  if (Array.isArray(value)) return value.map(copyOf)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Date.prototype) return new Date((value as Date).getTime())
  if (prototype === Buffer.prototype) return Buffer.from(value as Buffer)
  if (prototype !== Object.prototype && prototype !== null) throw UNKNOWN
  const copy = Object.create(prototype as object | null) as Record<string, unknown>
  for (const [key, each] of Object.entries(value)) define(copy, key, copyOf(each))
  return copy
}

/** As JSON.parse does: `__proto__` in an event is a key like others. */
function define(copy: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') copy[key] = value
  else Object.defineProperty(copy, key, { value, writable: true, enumerable: true, configurable: true })
}
