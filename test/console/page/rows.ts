import type { ProjectionRow } from '../../../packages/console/src/protocol.ts'

/** A row of a projection that follows. */
export function row(name: string, more: Partial<ProjectionRow> = {}): ProjectionRow {
  return {
    name,
    projection: name,
    version: 1,
    role: 'live',
    source: 'events',
    shards: 1,
    state: 'follows',
    position: '10',
    behind: '0',
    perSecond: 0,
    leftMs: null,
    changedAtMs: 0,
    owners: [],
    pausedBy: null,
    asked: null,
    deadLetters: 0,
    lateEvents: 0,
    skipped: {},
    ...more,
  }
}
