import { Command, Option } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatEntries } from '../format/audit.ts'
import type { Io } from '../io.ts'
import { type CommonFlags, databaseOptions, limitOption, outputOptions } from '../options.ts'
import { parseId } from '../parse-values.ts'
import { print } from '../print.ts'
import { withSession } from '../session.ts'

interface AuditFlags extends CommonFlags {
  readonly projection?: string
  readonly before?: bigint
  readonly limit: number
}

const LIMIT = 50

export function auditCommand(io: Io, done: Done): Command {
  const command = new Command('audit')
    .summary('who has done what, when and why')
    .description(
      'Who has done what to projections, when and why: the newest first. Who has closed a dead letter: tidemark dead-letters show. What was ' +
        'wanted of nodes: tidemark nodes audit.',
    )
    .option('--projection <name>', 'what was done to that projection')
    .addOption(new Option('--before <id>', 'the next page: entries before that one').argParser(parseId))
  limitOption(command, LIMIT)
  for (const add of [databaseOptions, outputOptions]) add(command)
  return command.action(async (flags: AuditFlags) => {
    await withSession(io, flags, async ({ operations }) => {
      const { projection, before, limit } = flags
      const entries = await operations.audit({
        limit,
        ...(projection === undefined ? {} : { projection }),
        ...(before === undefined ? {} : { before }),
      })
      print(io, flags, {
        text: formatEntries(entries, { limit, columns: io.out.columns }),
        json: { entries },
      })
      done(EXIT.done)
    })
  })
}
