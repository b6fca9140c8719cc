import { InvalidOptionError } from '@tidemark/core/adapter'

/** A table's name as the catalog has it: no case is folded. */
export interface QualifiedName {
  readonly schema: string | undefined
  readonly name: string
}

/** `"My Table"` in SQL, whatever the name holds. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function quoteName({ schema, name }: QualifiedName): string {
  return schema === undefined ? quoteIdentifier(name) : `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`
}

/** In the form that `parseQualifiedName` reads, and the option `table` takes: quoted only where it has to be. */
export function writtenName({ schema, name }: QualifiedName): string {
  const parts = schema === undefined ? [name] : [schema, name]
  return parts.map((part) => (/^\w+$/.test(part) ? part : quoteIdentifier(part))).join('.')
}

/** A value in SQL: a message of several statements cannot bind any. */
export function quoteLiteral(text: string | undefined): string {
  if (text === undefined) return 'null'
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
  return text.includes('\\') ? `E${quoted}` : quoted
}

/** The same, as `text[]`. */
export function quoteTexts(texts: readonly string[]): string {
  return `array[${texts.map(quoteLiteral).join(', ')}]::text[]`
}

const PART = /"(?:[^"]|"")+"|[^".]+/y

/** Reads `events`, `sales.events`, `"my.schema"."Events"`. Unquoted parts are taken as they stand, case included. */
export function parseQualifiedName(option: string, text: unknown): QualifiedName {
  const expected = `a name: ${option}, schema.${option} or "quoted.schema"."Quoted Name"`
  if (typeof text !== 'string') throw new InvalidOptionError(option, expected, text)
  const parts: string[] = []
  for (let at = 0; ; at++) {
    PART.lastIndex = at
    const part = PART.exec(text)?.[0]
    if (part === undefined) throw new InvalidOptionError(option, expected, text)
    parts.push(part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part)
    at = PART.lastIndex
    if (at === text.length) break
    if (text[at] !== '.') throw new InvalidOptionError(option, expected, text)
  }
  const [first, second, ...rest] = parts
  if (first === undefined || rest.length > 0) throw new InvalidOptionError(option, expected, text)
  return second === undefined ? { schema: undefined, name: first } : { schema: first, name: second }
}
