import { argument } from '@tidemark/console/status'
import { postgresCheckpointsSql, postgresCheckpointsVersion } from '@tidemark/pg-adapter'
import { Command, Option } from 'commander'
import { isToBeDone } from '../change.ts'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatVersion } from '../format/migrations.ts'
import type { Io } from '../io.ts'
import { linesOf } from '../lines.ts'
import { type CommonFlags, databaseOptions, outputOptions } from '../options.ts'
import { parseCount } from '../parse-values.ts'
import { print } from '../print.ts'
import { patiently } from '../progress.ts'
import { QUERY_TIMEOUT_MS, withSession } from '../session.ts'

interface PrintFlags {
  readonly schema: string
  readonly from: number
}

interface ApplyFlags extends CommonFlags {
  readonly yes?: boolean
  readonly dryRun?: boolean
}

const SCHEMA = 'tidemark'

export function migrationsCommand(io: Io, done: Done): Command {
  return new Command('migrations')
    .summary("print, apply: what makes Tidemark's own tables")
    .description(
      "Tidemark's own tables: checkpoints, audit, dead letters. Daemons make them by themselves, where their role may.",
    )
    .addCommand(printCommand(io, done))
    .addCommand(applyCommand(io, done))
}

function printCommand(io: Io, done: Done): Command {
  return new Command('print')
    .summary('the SQL that makes the tables, for migrations of your own')
    .description(
      'The SQL that makes the tables, for those who run migrations of their own. It asks no database.',
    )
    .addOption(new Option('--schema <name>', 'where they are to be').default(SCHEMA))
    .addOption(
      new Option('--from <version>', 'print only what is newer than that version, which is there')
        .argParser(parseCount)
        .default(0, 'all of it'),
    )
    .action(({ schema, from }: PrintFlags) => {
      io.out.write(`${postgresCheckpointsSql({ schema, from })}\n`)
      done(EXIT.done)
    })
}

function applyCommand(io: Io, done: Done): Command {
  const command = new Command('apply')
    .summary('make the tables, or bring them to the newest version')
    .description(
      'Makes the tables, or brings them to the newest version, in one transaction. It waits for no batch: where one works, it fails and ' +
        'changes nothing; ask again.',
    )
    .optionsGroup('Change:')
    .option('-y, --yes', 'do it without asking; needed in a script, where nobody can be asked')
    .option('--dry-run', 'print the SQL that would be run, and change nothing')
  for (const add of [databaseOptions, outputOptions]) add(command)
  return command.action(async (flags: ApplyFlags) => {
    await withSession(io, flags, async (session) => {
      const { pool, place, checkpoints } = session
      const { schema } = place
      const read = () => postgresCheckpointsVersion({ pool, schema, queryTimeoutMs: QUERY_TIMEOUT_MS })
      const before = await read()
      if (before.applied >= before.latest) {
        print(io, flags, {
          text: formatVersion(schema, before),
          json: { schema, before: before.applied, after: before.applied },
        })
        return done(EXIT.done)
      }
      const sql = postgresCheckpointsSql({ schema, from: before.applied })
      const isWanted = await isToBeDone(session, flags, async () => ({
        text: [
          `The tables in the schema ${argument(schema)} would go from version ${before.applied} to ${before.latest}:`,
          ...linesOf(sql),
        ],
        json: { schema, before: before.applied, after: before.latest, sql },
        isNothing: false,
      }))
      if (!isWanted) return done(EXIT.done)
      await patiently(io, 'waits for the tables', async () => await checkpoints.prepare?.(io.signal))
      const after = await read()
      print(io, flags, {
        text: [
          {
            text: `The tables in the schema ${argument(schema)} went from version ${before.applied} to ${after.applied}.`,
            tone: 'good',
          },
        ],
        json: { schema, before: before.applied, after: after.applied },
      })
      done(EXIT.done)
    })
  })
}
