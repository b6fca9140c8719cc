import { isHeldUp, readMark } from '@tidemark/console/status'
import { Command } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatWhy } from '../format/why.ts'
import type { Io } from '../io.ts'
import { type CommonFlags, databaseOptions, outputOptions, tableOptions } from '../options.ts'
import { print } from '../print.ts'
import { readerOf, theEvents, withSession } from '../session.ts'

export function whyCommand(io: Io, done: Done): Command {
  const command = new Command('why')
    .summary('why the mark stands: who holds it, and what ends that')
    .description(
      'Why the mark of a table stands: each transaction that may still fill a gap, with its process, application, age and last ' +
        'statement, a query to look closer, and what ends it. It only reads. Ends with 1 where events wait for the mark.',
    )
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (flags: CommonFlags) => {
    await withSession(io, flags, async (session) => {
      const mark = await readMark(readerOf(session), await theEvents(session))
      const stands = isHeldUp(mark)
      print(io, flags, { text: formatWhy(mark), json: { ...mark, stands } })
      done(stands ? EXIT.notReached : EXIT.done)
    })
  })
}
