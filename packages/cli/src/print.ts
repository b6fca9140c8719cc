import type { Explanation } from './explain-error.ts'
import type { Io } from './io.ts'
import { isColoured, jsonOf, type Line, linesOf, textOf } from './lines.ts'

/** What the options of a command say of its output. */
export interface OutputFlags {
  readonly json?: boolean
  readonly color?: boolean
}

/** Text for people, or JSON for programs. */
export function print(
  io: Io,
  flags: OutputFlags,
  result: { readonly text: readonly Line[]; readonly json: unknown },
): void {
  if (flags.json === true) io.out.write(`${jsonOf(result.json, 2)}\n`)
  else io.out.write(textOf(result.text, { color: isColoured(io.out, io, flags.color !== false) }))
}

export function printError(io: Io, flags: OutputFlags, explanation: Explanation): void {
  const { exit, code, message, next } = explanation
  if (flags.json === true) {
    io.err.write(`${jsonOf({ error: { code, message, next }, exit })}\n`)
    return
  }
  const [first = '', ...others] = linesOf(message)
  const lines: readonly Line[] = [
    { text: `tidemark: ${first}`, tone: 'bad' },
    ...others,
    ...next.flatMap((line) => linesOf(line).map((each, n) => `${n === 0 ? '  try: ' : '       '}${each}`)),
  ]
  io.err.write(textOf(lines, { color: isColoured(io.err, io, flags.color !== false) }))
}
