import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { HttpError } from './http-error.ts'

type Asked = Pick<IncomingMessage, 'headers'>

/** Throws where a browser says that another site has sent it. What is no browser says nothing. Pure. */
export function requireSameOrigin({ headers }: Asked): void {
  const site = headers['sec-fetch-site']
  // `none`: a person has typed the address.
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw otherOrigin()
  const { origin, host } = headers
  if (origin !== undefined && site === undefined && hostOf(origin) !== host) throw otherOrigin()
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

const otherOrigin = (): HttpError =>
  new HttpError(403, 'OTHER_ORIGIN', 'Another site has sent this request.', [
    'Open the page of the console, and do it there.',
  ])

/** Tokens that only a page of this console has read. */
export class CsrfTokens {
  readonly #secret = randomBytes(32)

  of(who: string): string {
    return createHmac('sha256', this.#secret).update(who).digest('base64url')
  }

  /** Throws where the request has not the one of its viewer. */
  require({ headers }: Asked, who: string): void {
    const given = Buffer.from(String(headers['x-tidemark-csrf'] ?? ''))
    const wanted = Buffer.from(this.of(who))
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) return
    throw new HttpError(
      403,
      'CSRF',
      'The token against forged requests is missing, or not the one of this viewer.',
      ['Load the page again: the server was started anew, or somebody else has signed in.'],
    )
  }
}
