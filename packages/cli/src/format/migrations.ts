import { argument } from '@tidemark/console/status'
import type { CheckpointsVersion } from '@tidemark/pg-adapter'
import type { Line } from '../lines.ts'

/** Of which version Tidemark's tables are; pure. */
export function formatVersion(schema: string, { applied, latest }: CheckpointsVersion): readonly Line[] {
  const option = schema === 'tidemark' ? '' : ` --schema ${argument(schema)}`
  const where = `Tidemark's own tables in the schema ${schema}`
  if (applied === 0) {
    return [
      `${where}: there are none.`,
      `  A daemon makes them when it starts, where its role may; or: tidemark migrations apply${option}`,
    ]
  }
  if (applied < latest) {
    return [
      { text: `${where} are of the version ${applied}, and this program knows ${latest}.`, tone: 'warn' },
      `  A daemon of this version brings them up to it when it starts, where its role may; or: tidemark migrations apply${option}`,
    ]
  }
  if (applied > latest) {
    return [
      { text: `${where} are of the version ${applied}, and this program knows ${latest}.`, tone: 'warn' },
      '  Use a newer version of this program: npx @tidemark/cli@latest',
    ]
  }
  return [`${where} are of the version ${applied}, the newest that this program knows.`]
}
