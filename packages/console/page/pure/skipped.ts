import { number } from './words.ts'

/** `2 (apply error), 3 (moved)`; pure. */
export function skippedWords(skipped: Readonly<Record<string, string>>): string {
  const reasons = Object.entries(skipped).filter(([, how]) => how !== '0')
  if (reasons.length === 0) return '0'
  return reasons.map(([reason, how]) => `${number(BigInt(how))} (${reason.replaceAll('_', ' ')})`).join(', ')
}
