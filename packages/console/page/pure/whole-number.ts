const GROUPED = /^\d{1,3}(?:[\s,._’']\d{3})+$/u

/** What was typed, as the server wants it: `1,204` is `1204`. `undefined`: it is no whole number. Pure. */
export function wholeNumber(typed: string): string | undefined {
  const text = typed.trim()
  const digits = GROUPED.test(text) ? text.replaceAll(/\D/gu, '') : text
  return /^\d{1,18}$/.test(digits) ? digits : undefined
}
