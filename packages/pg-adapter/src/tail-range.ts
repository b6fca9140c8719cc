/** How far above the mark a poll brings rows along. */
export interface TailRange {
  readonly positions: bigint
  /** Above this mark rows came, and none of them could be used: something is in the way. */
  readonly inVainAbove: bigint | undefined
}

const FEWEST = 20n
/** A page of more positions is worth a message of its own. */
const MOST = 500n

export const FIRST_RANGE: TailRange = { positions: FEWEST, inVainAbove: undefined }

/**
 * How many positions above the mark are brought along; `undefined`: none, until the mark has moved. Where several want them, what does
 * not come costs a page for each. Pure.
 */
export function positionsAbove(
  { positions, inVainAbove }: TailRange,
  mark: bigint,
  readers: number,
): bigint | undefined {
  if (inVainAbove === mark) return undefined
  return readers > 1 ? MOST : positions
}

/**
 * The range of the next poll, after one whose projections waited at `after`: twice as far as the mark has moved, so that little
 * is brought that the mark does not allow yet. Pure.
 *
 * @param isUseless - whether what has come is of no use if the mark has not moved, since it would come again
 */
export function rangeAfterPoll(
  range: TailRange,
  {
    after,
    mark,
    isUseless,
  }: { readonly after: bigint; readonly mark: bigint | undefined; readonly isUseless: boolean },
): TailRange {
  if (mark === undefined || mark <= after) return isUseless ? { ...range, inVainAbove: after } : range
  const positions = (mark - after) * 2n
  return {
    positions: positions < FEWEST ? FEWEST : positions > MOST ? MOST : positions,
    inVainAbove: undefined,
  }
}
