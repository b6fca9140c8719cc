import { isReached, type PositionOrder } from '../ports/position.ts'

/**
 * Whether the store has come as far as the checkpoint that a subscription begins at. Where it has not (a restored backup, the
 * wrong cluster), the server leaves out what is appended up to there, without a word. What was seen once is kept: a busy
 * store passes the checkpoint soon, and then looks like one that had always been there. Every function here returns a new one.
 */
export type StartCheck<P> =
  | { readonly verdict: 'reached' }
  | { readonly verdict: 'unknown'; readonly from: P; readonly doubt: Doubt<P> | undefined }
  | ({ readonly verdict: 'beyond'; readonly from: P } & BeyondHead<P>)

/** What was seen once, and is to be confirmed: the head of the leader below the checkpoint, or an event that came from there. */
type Doubt<P> =
  | { readonly by: 'head'; readonly head: P | undefined }
  | { readonly by: 'arrival'; readonly position: P }

/** How it was seen, and where; `undefined` in an empty store. */
export interface BeyondHead<P> {
  /**
   * - `below`: the head stands below
   * - `passed`: it stood below, and has passed the checkpoint since
   * - `appended`: something was appended at or below it since
   * - `arrived`: the subscription was given an event from there
   */
  readonly how: 'below' | 'passed' | 'appended' | 'arrived'
  readonly at: P | undefined
}

export function startCheck<P>(from: P | undefined): StartCheck<P> {
  return from === undefined ? { verdict: 'reached' } : { verdict: 'unknown', from, doubt: undefined }
}

/** What to read next: the head, or what comes after `after`; `undefined` once the verdict is given. */
export function wantedReading<P>(
  check: StartCheck<P>,
  isFiltered: boolean,
): { readonly of: 'head' } | { readonly of: 'next'; readonly after: P } | undefined {
  if (check.verdict !== 'unknown') return undefined
  const { doubt } = check
  if (isFiltered && doubt?.by === 'head' && doubt.head !== undefined) return { of: 'next', after: doubt.head }
  return { of: 'head' }
}

/**
 * `head`: as the leader says it. It is believed when it was read twice: a call that was cut short looks like an empty store.
 *
 * A filter's checkpoint may stand at a record of the server's own that no reading shows (a group's checkpoint in $all), so
 * that the head stands below it in a healthy store. There it is the next event that tells: see `sawNext`. A source that
 * cannot read that one is asked for the head again, until it has moved.
 */
export function sawHead<P>(
  check: StartCheck<P>,
  head: P | undefined,
  isFiltered: boolean,
  order: PositionOrder<P>,
): StartCheck<P> {
  if (check.verdict !== 'unknown') return check
  const { from, doubt } = check
  const isBelow = !isReached(order, from, head)
  if (doubt === undefined) {
    return isBelow ? { verdict: 'unknown', from, doubt: { by: 'head', head } } : { verdict: 'reached' }
  }
  if (doubt.by === 'arrival') return { verdict: 'beyond', from, how: 'arrived', at: doubt.position }
  const { head: before } = doubt
  if (isBelow) {
    const tells = !isFiltered || before === undefined || !isReached(order, head, before)
    return tells ? { verdict: 'beyond', from, how: 'below', at: head } : check
  }
  if (isFiltered || before === undefined) return { verdict: 'reached' }
  return { verdict: 'beyond', from, how: 'passed', at: before }
}

/** `next`: the first position after the head that stood below, `undefined` while there is none. */
export function sawNext<P>(
  check: StartCheck<P>,
  next: P | undefined,
  order: PositionOrder<P>,
): StartCheck<P> {
  if (check.verdict !== 'unknown' || next === undefined) return check
  const { from } = check
  // In a healthy store everything up to the checkpoint was in the log before.
  return isReached(order, next, from)
    ? { verdict: 'beyond', from, how: 'appended', at: next }
    : { verdict: 'reached' }
}

/** Servers before 24.2 hand out what is appended to $all even where it stands below the checkpoint. */
export function sawArrival<P>(
  check: StartCheck<P>,
  position: P | undefined,
  order: PositionOrder<P>,
): StartCheck<P> {
  if (check.verdict !== 'unknown' || position === undefined || !isReached(order, position, check.from)) {
    return check
  }
  const { from, doubt } = check
  return doubt === undefined
    ? { verdict: 'unknown', from, doubt: { by: 'arrival', position } }
    : { verdict: 'beyond', from, how: 'arrived', at: position }
}

/** For an error: what was seen, of the source of that name. */
export function describeBeyondHead({ how, at }: BeyondHead<string>, source: string): string {
  if (at === undefined) return `${source} is empty`
  return {
    below: `${source} ends at ${at}`,
    passed: `${source} ended at ${at} when the subscription began, and has grown past it since`,
    appended: `${source} had not come so far: an event was appended at ${at} since`,
    arrived:
      `an event at ${at} of ${source} has come: the store had not come so far when the subscription began, or ` +
      'the client was told another position than `from`',
  }[how]
}
