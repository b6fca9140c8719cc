/** What is answered in place of what was asked for. */
export class HttpError extends Error {
  readonly status: number
  readonly code: string
  readonly next: readonly string[]
  constructor(status: number, code: string, message: string, next: readonly string[] = []) {
    super(message)
    this.name = 'HttpError'
    this.status = status
    this.code = code
    this.next = next
  }
}
