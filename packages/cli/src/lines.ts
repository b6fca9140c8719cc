import { styleText } from 'node:util'
import type { Io, Output } from './io.ts'

export type Tone = 'good' | 'bad' | 'warn' | 'quiet' | 'strong'

/** A line of text. What is told by a tone is told by the words too. */
export type Line = string | { readonly text: string; readonly tone: Tone }

const STYLES: Readonly<Record<Tone, 'green' | 'red' | 'yellow' | 'dim' | 'bold'>> = {
  good: 'green',
  bad: 'red',
  warn: 'yellow',
  quiet: 'dim',
  strong: 'bold',
}

/** What a terminal would take for more than text: control characters, and marks that turn the direction of writing. */
function isUnsafe(code: number): boolean {
  if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true
  return code === 0x200e || code === 0x200f || (code >= 0x2028 && code <= 0x202e) || isIsolate(code)
}

const isIsolate = (code: number): boolean => code >= 0x2066 && code <= 0x2069

/** On one line and with nothing that steers a terminal, whatever it was. */
export function plain(text: string): string {
  return Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0
    if (!isUnsafe(code)) return character
    if (character === '\n') return '\\n'
    if (character === '\t') return '  '
    return code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`
  }).join('')
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0')

/** The lines of a text that may have several. */
export function linesOf(text: string, indent = ''): readonly string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => indent + line)
}

export interface Styling {
  readonly color: boolean
}

/** Whether to colour what goes there. */
export function isColoured({ isTerminal }: Output, { env }: Pick<Io, 'env'>, wanted: boolean): boolean {
  const { NO_COLOR = '', TERM } = env
  return wanted && isTerminal && NO_COLOR === '' && TERM !== 'dumb'
}

/** Nothing that comes from a database steers the terminal: every line goes through here. */
export function textOf(lines: readonly Line[], { color }: Styling): string {
  return lines
    .map((line) => {
      if (typeof line === 'string') return plain(line)
      const text = plain(line.text)
      return color ? styleText(STYLES[line.tone], text, { validateStream: false }) : text
    })
    .map((line) => `${line}\n`)
    .join('')
}

/** A bigint is its decimal text. What steers terminals is escaped here too. */
export function jsonOf(value: unknown, indent?: number): string {
  const json = JSON.stringify(
    value,
    (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item),
    indent,
  )
  return Array.from(json, (character) => {
    const code = character.codePointAt(0) ?? 0
    // Line breaks are of its layout: those of values are escaped already.
    return isUnsafe(code) && character !== '\n' ? `\\u${hex(code, 4)}` : character
  }).join('')
}
