/** What must never be. */
export class Wrong extends Error {}

/** What was wrong while `live` drove the history of this seed; `undefined`: nothing. */
export function wrongWhile(
  live: () => void,
  history: { readonly inputs: number },
  seed: number,
): string | undefined {
  try {
    live()
    return undefined
  } catch (error) {
    if (!(error instanceof Wrong)) throw error
    return `${error.message}, after ${history.inputs} inputs of the history ${seed}`
  }
}
