import { signal } from '@preact/signals'
import type { ActionAnswer, ActionName, DryAnswer, ErrorAnswer, SessionAnswer } from '../../src/protocol.ts'

/** Why the server has not done what it was asked, or that nobody has answered (`status` 0). */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly next: readonly string[]

  constructor(status: number, { code, message, next }: ErrorAnswer['error']) {
    super(message)
    this.status = status
    this.code = code
    this.next = next
  }
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError(0, { code: 'PAGE', message: String(error), next: [] })
}

/** Who looks, and what they may do; `undefined` until the server has said it. */
export const session = signal<SessionAnswer | undefined>(undefined)

export type Query = Readonly<Record<string, string | number | undefined>>

const ANSWER_MS = 60_000

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return await ask<T>(`api/${path}${searchOf(query)}`, { headers: { accept: 'application/json' } }, signal)
}

export async function loadSession(): Promise<void> {
  session.value = await get<SessionAnswer>('session')
}

/** What an action would do. */
export async function dryRun(name: ActionName, body: object, signal: AbortSignal): Promise<DryAnswer> {
  return await post<DryAnswer>(`${name}?dry=1`, body, signal)
}

/** `body`: with the reason. */
export async function act(name: ActionName, body: object): Promise<ActionAnswer> {
  return await post<ActionAnswer>(name, body)
}

async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const send = async (): Promise<T> => {
    if (session.value === undefined) await loadSession()
    const headers = { 'content-type': 'application/json', 'x-tidemark-csrf': session.value?.csrf ?? '' }
    return await ask<T>(
      `api/actions/${path}`,
      { method: 'POST', headers, body: JSON.stringify(body) },
      signal,
    )
  }
  try {
    return await send()
  } catch (error) {
    // The server was started again since this page was loaded: it knows another token. Nothing was done.
    if (!(error instanceof ApiError) || error.status !== 403 || !/csrf/i.test(error.code)) throw error
    await loadSession()
    return await send()
  }
}

async function ask<T>(url: string, init: RequestInit, given?: AbortSignal): Promise<T> {
  const limit = AbortSignal.timeout(ANSWER_MS)
  const signal = given === undefined ? limit : AbortSignal.any([given, limit])
  let response: Response
  let text: string
  try {
    response = await fetch(url, { ...init, signal, credentials: 'same-origin', cache: 'no-cache' })
    text = await response.text()
  } catch (error) {
    if (given?.aborted) throw error
    throw unanswered(error)
  }
  const answer = parsed(text)
  if (response.ok && answer !== undefined) return answer as T
  throw new ApiError(response.status, refusal(answer, response.status))
}

/** `undefined`: it is no JSON, as where a proxy in front has answered. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function unanswered(error: unknown): ApiError {
  return new ApiError(0, {
    code: 'NO_ANSWER',
    message: `The server of this page does not answer (${error instanceof Error ? error.message : String(error)}).`,
    next: ['See that its process runs. This page goes on by itself once it does.'],
  })
}

function refusal(answer: unknown, status: number): ErrorAnswer['error'] {
  const error = (answer as Partial<ErrorAnswer> | null | undefined)?.error
  return (
    error ?? { code: 'HTTP', message: `What has answered is not the console: status ${status}.`, next: [] }
  )
}

function searchOf(query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '')
  if (given.length === 0) return ''
  return `?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))}`
}
