import { Command } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatSkips } from '../format/skips.ts'
import type { Io } from '../io.ts'
import { type CommonFlags, databaseOptions, limitOption, outputOptions } from '../options.ts'
import { print } from '../print.ts'
import { operationsOf, withSession } from '../session.ts'

interface SkipsFlags extends CommonFlags {
  readonly projection?: string
  readonly limit: number
}

const LIMIT = 50

export function skipsCommand(io: Io, done: Done): Command {
  const command = new Command('skips')
    .summary('what marks have passed without proof')
    .description(
      'Positions that marks have passed without proof (stale-threshold mode), the newest first: who held them, which projections have ' +
        'passed them since, which events came late, and which are there now. What a policy has given up is a dead letter.',
    )
    .option('--projection <name>', 'those that this projection has passed')
  limitOption(command, LIMIT)
  for (const add of [databaseOptions, outputOptions]) add(command)
  return command.action(async (flags: SkipsFlags) => {
    await withSession(io, flags, async (session) => {
      const { projection, limit } = flags
      const units = await session.operations.list()
      const sources = [...new Set(units.map(({ source }) => source))]
      const [source] = sources
      // Which events are there now is told by the table of the events, where that is known.
      const operations =
        source === undefined || sources.length > 1
          ? session.operations
          : operationsOf(session, source, units).operations
      const skips = await operations.skips({ limit, ...(projection === undefined ? {} : { projection }) })
      print(io, flags, {
        text: formatSkips(skips, { limit, nowMs: Date.now(), columns: io.out.columns }),
        json: { skips },
      })
      done(EXIT.done)
    })
  })
}
