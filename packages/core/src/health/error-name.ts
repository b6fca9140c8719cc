/** A code, or a name. Never the message: it may hold what somebody who asks for health must not see. Never throws. */
export function errorName(error: unknown): string {
  try {
    if (!(error instanceof Error)) return 'something that is no Error'
    const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
    return code === '' ? error.name : code
  } catch {
    return 'an error that cannot be told'
  }
}
