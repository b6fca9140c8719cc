/** A store that breaks one promise. */
export interface Mutant<F> {
  readonly name: string
  readonly breaks: (fixture: F) => F
  /** The case that must find it. */
  readonly caughtBy: string
  /** What that case must say. */
  readonly says: RegExp
  /** Whether that is a matter of waiting, which is then cut short. */
  readonly hangs?: true
}
