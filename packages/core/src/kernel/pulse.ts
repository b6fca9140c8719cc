/** What a loop waits for, and since when. By this a loop that has ended is told from one that rests. */
export interface Pulse {
  /**
   * `answer`: of a store. `handler`: until the handler of a projection has ended. `timer`: until `dueMs`. `events`: until
   * there is something to do. `nothing`: it does not run, and is not meant to.
   */
  readonly waitsFor: 'answer' | 'handler' | 'timer' | 'events' | 'nothing'
  readonly sinceMs: number
  readonly dueMs?: number | undefined
}
