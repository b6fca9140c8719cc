import type { Problem } from '../../src/protocol.ts'
import { hrefOf } from './routes.ts'

export interface PageLink {
  readonly href: string
  readonly text: string
}

/** Where on this page one goes on from a problem. Pure. */
export function linkOf({ code, about }: Problem): PageLink | undefined {
  const { projection } = about
  switch (code) {
    case 'mark_stands':
      return { href: '#mark', text: 'See who holds it, and what ends that' }
    case 'mark_unknown':
      return { href: hrefOf(['doctor']), text: 'Ask the doctor' }
    case 'no_node':
      return { href: hrefOf(['nodes']), text: 'See which node has what' }
    case 'late_events':
      return { href: hrefOf(['skips']), text: 'See which events came late' }
    case 'dead_letters':
      return projection === null
        ? undefined
        : {
            href: hrefOf(['dead-letters'], { projection }),
            text: `See its dead letters, retry or close them`,
          }
    case 'projection_fails':
    case 'projection_stands':
    case 'no_daemon':
    case 'paused':
      return projection === null
        ? undefined
        : { href: hrefOf(['projections', projection]), text: `Open ${projection}` }
  }
}

/** Of what to try, commands of the terminal program are shown as such. */
export function isCommand(next: string): boolean {
  return next.startsWith('tidemark ')
}
