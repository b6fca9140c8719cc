import { createHash } from 'node:crypto'

/** What every name of a prepared statement matches, as a pattern of SQL. */
export const STATEMENT_NAME = '^tidemark_[0-9a-f]{32}$'

function hashed(text: string): string {
  return `tidemark_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
}

/** More than are sent again and again, and few enough to keep: each has some thousand characters. */
const MOST_TEXTS = 1_000

/** The name of the statement with that text. The same few are sent all the time: each is hashed once. */
export const statementName: (text: string) => string = remembering(hashed, MOST_TEXTS)

/** The same function, which remembers its last answers. Of more than `most`, the one that it has remembered longest is forgotten. */
export function remembering(compute: (text: string) => string, most: number): (text: string) => string {
  const known = new Map<string, string>()
  return (text) => {
    const before = known.get(text)
    if (before !== undefined) return before
    const answer = compute(text)
    const [oldest] = known.keys()
    if (oldest !== undefined && known.size >= most) known.delete(oldest)
    known.set(text, answer)
    return answer
  }
}
