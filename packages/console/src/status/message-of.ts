/** What an error says, which is never nothing. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.message !== '') return error.message
  // What Node throws where a name has several addresses and none of them answers.
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(messageOf))].join(', ')
  }
  return 'code' in error ? String(error.code) : error.name
}
