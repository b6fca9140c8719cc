import type { ErrorJson } from '../kernel/json.ts'
import type { LetterError } from '../ports/dead-letters.ts'

/** More of a text tells nobody more; a stack has some hundred characters a line. */
const MOST_CHARACTERS = 10_000
/** Causes below a cause, and parts of one error. */
const MOST_LEVELS = 8
/** Of all texts together. */
const MOST_OF_ALL = 64_000
/** What an error counts at least, however short its texts are. */
const LEAST_OF_ERROR = 100

const LEFT_OUT: LetterError = {
  name: 'LeftOut',
  message: `the rest is left out: ${MOST_OF_ALL} characters of an error are kept`,
}

/**
 * An error as a dead letter keeps it, and whoever tells of a failure: what comes first is kept whole, and one part says so where the rest is left out. Its other
 * fields are left out too: they may hold what is in the event.
 */
export function letterError(error: ErrorJson): LetterError {
  let left = MOST_OF_ALL
  let isSaid = false
  const cut = (text: string): string => {
    const kept = cutAt(text, Math.min(MOST_CHARACTERS, left))
    left -= kept.length
    return kept
  }
  const inside = (errors: readonly ErrorJson[], levels: number): LetterError[] => {
    const told: LetterError[] = []
    for (const each of errors) {
      if (left > 0) told.push(tell(each, levels))
      else if (!isSaid) {
        isSaid = true
        told.push(LEFT_OUT)
      }
    }
    return told
  }
  const tell = ({ name, message, stack, code, cause, errors }: ErrorJson, levels: number): LetterError => {
    left -= LEAST_OF_ERROR
    const texts = {
      name: cut(name),
      message: cut(message),
      ...(typeof code === 'string' ? { code: cut(code) } : {}),
      ...(stack === undefined ? {} : { stack: cut(stack) }),
    }
    if (levels === 0) return texts
    const [toldCause] = cause === undefined ? [] : inside([cause], levels - 1)
    const parts = inside(errors?.slice(0, MOST_LEVELS) ?? [], levels - 1)
    return {
      ...texts,
      ...(toldCause === undefined ? {} : { cause: toldCause }),
      ...(parts.length === 0 ? {} : { errors: parts }),
    }
  }
  return tell(error, MOST_LEVELS)
}

/** Never between the two halves of one character. */
function cutAt(text: string, length: number): string {
  if (text.length <= length) return text
  const most = Math.max(0, length)
  const kept = text.slice(0, most)
  return `${/[\uD800-\uDBFF]$/.test(kept) ? kept.slice(0, -1) : kept}...`
}
