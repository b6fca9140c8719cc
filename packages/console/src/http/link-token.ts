import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** The secret in a printed link, and the cookie that it is exchanged for. */
export class LinkToken {
  readonly token: string = randomBytes(32).toString('base64url')
  readonly #cookie = createHmac('sha256', this.token).update('cookie').digest('base64url')
  readonly #name: string

  /** @param port - cookies know no ports: each server has a cookie of its own */
  constructor(port: number) {
    this.#name = `tidemark-console-${port}`
  }

  isToken(given: string | null): boolean {
    return given !== null && isSame(given, this.token)
  }

  /** For `set-cookie`: no script reads it, and no other site's request has it. */
  get setCookie(): string {
    return `${this.#name}=${this.#cookie}; Path=/; HttpOnly; SameSite=Strict`
  }

  /** Whether a header `cookie` has it. */
  isIn(header: string | undefined): boolean {
    const cookies = (header ?? '').split(';').map((pair) => pair.trim())
    return cookies.some(
      (pair) => pair.startsWith(`${this.#name}=`) && isSame(pair.slice(this.#name.length + 1), this.#cookie),
    )
  }
}

function isSame(a: string, b: string): boolean {
  const [given, wanted] = [Buffer.from(a), Buffer.from(b)]
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
