import type { IncomingMessage } from 'node:http'

/** Of a request, what stands below the console; pure. */
export interface Place {
  /** `/`, `/api/overview`. */
  readonly path: string
  readonly parameters: URLSearchParams
  /** Where a browser has to go for its relative links to lead below the console; `undefined`: it is there. */
  readonly instead: string | undefined
}

/** `undefined`: it is not for the console. */
export function placeOf(
  { url = '/', ...request }: Pick<IncomingMessage, 'url'> & { readonly originalUrl?: unknown },
  basePath: string,
): Place | undefined {
  const [whole, search] = split(url)
  const path = below(whole, basePath)
  if (path === undefined) return undefined
  // A host that has cut off where it has mounted the console says what it was.
  const [asked] = split(typeof request.originalUrl === 'string' ? request.originalUrl : url)
  const last = asked.slice(asked.lastIndexOf('/') + 1)
  return {
    path: path === '' ? '/' : path,
    parameters: new URLSearchParams(search),
    // Relative, and only by the last part: nothing in it can lead to another host.
    instead: (path === '' || path === '/') && last !== '' ? `./${last}/` : undefined,
  }
}

function split(url: string): readonly [path: string, search: string] {
  const at = url.indexOf('?')
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
}

function below(path: string, basePath: string): string | undefined {
  if (basePath === '') return path
  if (path === basePath) return ''
  return path.startsWith(`${basePath}/`) ? path.slice(basePath.length) : undefined
}
