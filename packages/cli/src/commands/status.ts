import { readSnapshot, type Status, statusOf } from '@tidemark/console/status'
import { Command, Option } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatStatus, pacesOf } from '../format/status.ts'
import type { Io } from '../io.ts'
import { type CommonFlags, databaseOptions, outputOptions, tableOptions } from '../options.ts'
import { parseDuration } from '../parse-values.ts'
import { readerOf, withSession } from '../session.ts'
import { show } from '../show.ts'

interface StatusFlags extends CommonFlags {
  readonly watch?: number | true
}

export function statusCommand(io: Io, done: Done): Command {
  const command = new Command('status')
    .summary('what is wrong, and how far every projection is')
    .description(
      'What is wrong, in words and the worst first, with what to do about it; then the mark of each source and every projection. ' +
        'Ends with 1 where something is wrong.',
    )
  databaseOptions(command)
  tableOptions(command)
  outputOptions(command).addOption(
    new Option('--watch [every]', 'show it again and again, with rates and the time that is left').argParser(
      parseDuration,
    ),
  )
  return command.action(async (flags: StatusFlags) => {
    let before: Status | undefined
    await withSession(io, flags, async (session) => {
      const exit = await show(io, flags, async () => {
        const { abouts: _, ...status } = statusOf(await readSnapshot(readerOf(session)))
        const paces = before === undefined ? undefined : pacesOf(before, status)
        before = status
        return {
          text: formatStatus(status, { columns: io.out.columns, ...(paces === undefined ? {} : { paces }) }),
          json: status,
          exit: status.healthy ? EXIT.done : EXIT.notReached,
        }
      })
      done(exit)
    })
  })
}
