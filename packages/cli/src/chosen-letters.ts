import { count, describeLetters, openLetters } from '@tidemark/console/status'
import type { Operations } from '@tidemark/core/operations'
import { RefusedError } from './usage-error.ts'

/** Which dead letters are meant: some by their numbers, or the open ones of a projection. */
export type LetterChoice =
  | { readonly ids: readonly string[] }
  | { readonly projection: string; readonly eventType?: string }

/** What an operation is done to: these, and none that come later. */
export interface ChosenLetters {
  readonly ids: readonly string[]
  readonly projections: readonly string[]
  /** In words: `open dead letters of orders with an event OrderPlaced`. */
  readonly filter: string
}

/** Throws `RefusedError` where one of those that were named is not there. */
export async function chooseLetters(
  { deadLetters }: Pick<Operations<never>, 'deadLetters'>,
  choice: LetterChoice,
): Promise<ChosenLetters> {
  if ('ids' in choice) {
    const ids = [...new Set(choice.ids)]
    const found = []
    for (const id of ids) {
      const letter = /^\d{1,18}$/.test(id) ? await deadLetters.show(id) : undefined
      if (letter === undefined) {
        throw new RefusedError(`There is no dead letter ${JSON.stringify(id)}. Nothing was changed.`, [
          'See which there are: tidemark dead-letters list',
        ])
      }
      found.push(letter)
    }
    const projections = [...new Set(found.map(({ projection }) => projection))]
    return { ids, projections, filter: `${count(ids.length, 'dead letter')} of ${projections.join(', ')}` }
  }
  return {
    ids: await openLetters({ deadLetters }, choice),
    projections: [choice.projection],
    filter: describeLetters(choice),
  }
}
