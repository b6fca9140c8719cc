type ProblemCode =
  | 'mark_stands'
  | 'mark_unknown'
  | 'projection_fails'
  | 'projection_stands'
  | 'no_daemon'
  | 'paused'
  | 'dead_letters'
  | 'late_events'
  | 'no_node'

export interface Problem {
  readonly code: ProblemCode
  /** In words. */
  readonly what: string
  /** Commands of the terminal program, and words. */
  readonly next: readonly string[]
}

/** What a problem is about: a source, or a version of a projection on it. */
export interface About {
  readonly source: string
  readonly projection: string | null
  readonly version: number | null
}
