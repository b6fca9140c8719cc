/** What `JSON.stringify` can write. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/**
 * Any thrown value as JSON: `name` and `message` always, `stack`, `code`, `cause` and `errors` where there are such, and
 * the error's own fields. Of what is no error, `name` says what it is (`string`, `null`) and `message` repeats it.
 */
export interface ErrorJson {
  readonly name: string
  readonly message: string
  readonly stack?: string
  readonly cause?: ErrorJson
  readonly errors?: readonly ErrorJson[]
  readonly [field: string]: Json | ErrorJson | readonly ErrorJson[] | undefined
}

/** Nothing that is told of an error lies deeper; a circle ends here too. */
const MOST_LEVELS = 8
/** Of one list, map or object. */
const MOST_ENTRIES = 1_000

export function errorJson(error: unknown): ErrorJson {
  return quietly(() => errorAt(error, 0)) ?? { name: 'Error', message: 'an error that cannot be read' }
}

/**
 * A value as JSON, whatever it is: a bigint is its decimal text, a date its ISO text, an error an `ErrorJson`, a map an
 * object, a set an array, a circle `[circular]`, a function or symbol its text. What cannot be read is left out.
 */
export function toJson(value: unknown): Json {
  return jsonAt(value, 0, new Set()) ?? null
}

/** The same object, of which `JSON.stringify` writes what `json` gives, whatever is in that. */
export function withJson<T extends object>(value: T, json: () => unknown): T {
  // Not enumerable: a copy, a comparison or a loop over the fields does not meet it.
  return Object.defineProperty(value, 'toJSON', { value: () => toJson(json()) })
}

function errorAt(error: unknown, level: number, within: ReadonlySet<object> = new Set()): ErrorJson {
  if (!(error instanceof Error)) return { name: kindOf(error), message: textOf(error) }
  if (level > MOST_LEVELS) return { name: 'Error', message: '[deeper]' }
  if (within.has(error)) return { name: 'Error', message: '[circular]' }
  const inside = new Set(within).add(error)
  const read = (field: string): unknown => quietly(() => (error as unknown as Record<string, unknown>)[field])
  const fields: Record<string, Json> = {}
  for (const field of Object.keys(error)) {
    if (field === 'errors' || field === 'cause') continue
    const value = jsonAt(read(field), level + 1, inside)
    if (value !== undefined) fields[field] = value
  }
  const [name, message, stack, cause, parts] = ['name', 'message', 'stack', 'cause', 'errors'].map(read)
  return {
    ...fields,
    name: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : textOf(message),
    ...(typeof stack === 'string' ? { stack } : {}),
    ...(cause === undefined ? {} : { cause: errorAt(cause, level + 1, inside) }),
    ...(Array.isArray(parts)
      ? { errors: parts.slice(0, MOST_ENTRIES).map((part: unknown) => errorAt(part, level + 1, inside)) }
      : {}),
  }
}

function jsonAt(value: unknown, level: number, within: ReadonlySet<object>): Json | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'bigint':
      return value.toString()
    case 'undefined':
      return undefined
    case 'function':
    case 'symbol':
      return textOf(value)
    default:
      return value === null ? null : objectJson(value as object, level, within)
  }
}

function objectJson(value: object, level: number, within: ReadonlySet<object>): Json {
  if (within.has(value)) return '[circular]'
  if (level > MOST_LEVELS) return '[deeper]'
  if (value instanceof Error) return errorAt(value, level, within) as unknown as Json
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  const inside = new Set(within).add(value)
  const items = Array.isArray(value) ? value : value instanceof Set ? [...value] : undefined
  if (items) return items.slice(0, MOST_ENTRIES).map((item) => jsonAt(item, level + 1, inside) ?? null)
  const entries =
    value instanceof Map
      ? [...value].map(([key, item]) => [textOf(key), item] as const)
      : Object.keys(value).map(
          (key) => [key, quietly(() => (value as Record<string, unknown>)[key])] as const,
        )
  const json: [string, Json][] = entries.slice(0, MOST_ENTRIES).flatMap(([key, item]) => {
    const found = jsonAt(item, level + 1, inside)
    return found === undefined ? [] : [[key, found]]
  })
  return Object.fromEntries(json)
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}

function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const json = quietly(() => JSON.stringify(toJson(value)))
  return typeof json === 'string' ? json : 'an object that cannot be read'
}

function quietly<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
