import type { IncomingMessage } from 'node:http'
import type { ConsoleOptions, Viewer } from '../options.ts'
import { HttpError } from './http-error.ts'

const LONGEST_NAME = 255

/** Who has sent it. Throws where nobody has who may look. */
export async function viewerOf(
  request: IncomingMessage,
  authorize: ConsoleOptions['authorize'],
): Promise<Viewer> {
  const viewer = await authorized(request, authorize)
  if (viewer === undefined || viewer === null) {
    throw new HttpError(401, 'NOT_AUTHORIZED', 'Nobody has sent this who may look at the console.', [
      'Sign in where the console is a part of.',
    ])
  }
  const { who } = viewer
  if (typeof who === 'string' && who.trim() !== '' && who.length <= LONGEST_NAME && !who.includes('\0'))
    return viewer
  throw new HttpError(
    500,
    'BAD_VIEWER',
    `The option authorize of the console has to say who: a text of at most ${LONGEST_NAME} characters.`,
  )
}

/** What it throws is nobody's business out there. */
async function authorized(
  request: IncomingMessage,
  authorize: ConsoleOptions['authorize'],
): Promise<Viewer | undefined> {
  try {
    return await authorize(request)
  } catch {
    throw new HttpError(
      500,
      'AUTHORIZE_FAILED',
      'Who has sent this could not be found out: authorize has thrown.',
    )
  }
}
