/** The command, an option or a file of the user's is not right. `next`: what to try. */
export class UsageError extends Error {
  readonly next: readonly string[]
  constructor(message: string, next: readonly string[] = []) {
    super(message)
    this.name = 'UsageError'
    this.next = next
  }
}

/** What was asked for does not fit what there is. Nothing was changed. */
export class RefusedError extends Error {
  readonly next: readonly string[]
  constructor(message: string, next: readonly string[] = []) {
    super(message)
    this.name = 'RefusedError'
    this.next = next
  }
}
