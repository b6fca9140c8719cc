/** What the address shows, behind its `#`: so that the page works wherever a host mounts it. */
export type Route =
  | { readonly page: (typeof PAGES)[number]; readonly query: URLSearchParams }
  | { readonly page: 'projection'; readonly projection: string; readonly query: URLSearchParams }
  | { readonly page: 'letter'; readonly id: string; readonly query: URLSearchParams }
  | { readonly page: 'unknown'; readonly query: URLSearchParams }

export const PAGES = ['overview', 'dead-letters', 'consumers', 'skips', 'nodes', 'audit', 'doctor'] as const

/** What does not begin with `#/` is a place on the overview. */
export function parseRoute(hash: string): Route {
  const [path = '', search = ''] = hash.startsWith('#/') ? hash.slice(2).split('?', 2) : []
  const query = new URLSearchParams(search)
  const [first = '', second] = path.split('/').map(decoded)
  if (path === '') return { page: 'overview', query }
  if (first === 'projections' && second) return { page: 'projection', projection: second, query }
  if (first === 'dead-letters' && second) return { page: 'letter', id: second, query }
  const page = PAGES.find((each) => each === first)
  return page === undefined || second !== undefined ? { page: 'unknown', query } : { page, query }
}

/** The address of a page, as an `href`. Names may have any character. */
export function hrefOf(
  path: readonly string[],
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const given = Object.entries(query).filter((each): each is [string, string] => Boolean(each[1]))
  const search = given.length === 0 ? '' : `?${new URLSearchParams(given)}`
  return `#/${path.map(encodeURIComponent).join('/')}${search}`
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
