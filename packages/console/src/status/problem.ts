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
  readonly what: string
  /** Commands to run, and words. */
  readonly next: readonly string[]
}

/** A source, or a version of a projection on it. */
export interface About {
  readonly source: string
  readonly projection: string | null
  readonly version: number | null
}
