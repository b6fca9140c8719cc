/** Escape sequences of a terminal, or none. */
export interface Paint {
  bold(text: string): string
  dim(text: string): string
  good(text: string): string
  warn(text: string): string
  bad(text: string): string
}

const ESCAPE = '\u001b'

export function paintFor(stream: NodeJS.WriteStream): Paint {
  const isPainted = stream.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  const sequence = (code: number) => (text: string) =>
    isPainted ? `${ESCAPE}[${code}m${text}${ESCAPE}[0m` : text
  return { bold: sequence(1), dim: sequence(2), good: sequence(32), warn: sequence(33), bad: sequence(31) }
}

const SEQUENCE_OR_CHARACTER = new RegExp(`${ESCAPE}\\[[0-9;]*m|.`, 'gu')

/** The first `width` characters of a painted line, its paint included. */
export function cut(line: string, width: number): string {
  let seen = 0
  let kept = ''
  for (const [part] of line.matchAll(SEQUENCE_OR_CHARACTER)) {
    const isSequence = part.startsWith(ESCAPE)
    if (isSequence || seen < width) kept += part
    if (!isSequence) seen++
  }
  return kept
}
