import type { Operations } from '@tidemark/core/operations'
import { HttpError } from '../http/http-error.ts'
import { shardsOf } from '../look/overview.ts'
import { entryOf } from '../look/wire.ts'
import type { AuditAnswer, Overview, ProjectionAnswer } from '../protocol.ts'
import type { Snapshot } from '../status/snapshot.ts'
import type { Query } from './query.ts'

const ENTRIES = 50

export async function projectionAnswer(
  operations: Pick<Operations<never>, 'audit'>,
  looked: { readonly snapshot: Snapshot; readonly overview: Overview },
  query: Query,
): Promise<ProjectionAnswer> {
  const projection = query.required('projection')
  const { snapshot, overview } = looked
  const rows = overview.projections.filter((row) => row.projection === projection)
  const audit = await operations.audit({ projection, limit: ENTRIES })
  // One that was forgotten has an audit still.
  if (rows.length === 0 && audit.length === 0) {
    throw new HttpError(
      404,
      'NO_SUCH_PROJECTION',
      `No projection ${JSON.stringify(projection)} has a checkpoint.`,
    )
  }
  return {
    atMs: snapshot.atMs,
    rows,
    shards: shardsOf(projection, snapshot),
    audit: audit.map(entryOf),
    deadLetters: snapshot.letters.filter((of) => of.projection === projection),
    problems: overview.problems.filter(({ about }) => about.projection === projection),
  }
}

export async function auditAnswer(
  operations: Pick<Operations<never>, 'audit'>,
  query: Query,
): Promise<AuditAnswer> {
  const limit = query.limit()
  const projection = query.text('projection')
  const before = query.digits('before')
  const entries = await operations.audit({
    limit,
    ...(projection === undefined ? {} : { projection }),
    ...(before === undefined ? {} : { before: BigInt(before) }),
  })
  return {
    entries: entries.map(entryOf),
    before: entries.length < limit ? null : String(entries.at(-1)?.id),
  }
}
