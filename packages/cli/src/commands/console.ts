import { once } from 'node:events'
import { serveConsole } from '@tidemark/console'
import { Command, Option } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import type { Io } from '../io.ts'
import { databaseOptions, tableOptions } from '../options.ts'
import { parsePort } from '../parse-values.ts'
import type { PlaceFlags } from '../place.ts'
import { QUERY_TIMEOUT_MS, withSession } from '../session.ts'

interface ConsoleFlags extends PlaceFlags {
  readonly port?: number
  readonly actions?: boolean
  readonly showEventData?: boolean
}

export function consoleCommand(io: Io, done: Done): Command {
  const command = new Command('console')
    .summary('the same on a page, until Ctrl-C')
    .description(
      'Serves a page on 127.0.0.1 until Ctrl-C, and prints its link. Who has the link may look: it has a token, so keep it out of logs that ' +
        'others read. The page only reads, unless --actions is given; nothing is asked of the database while nobody looks.',
    )
    .addOption(
      new Option('--port <port>', 'the port on 127.0.0.1 (default: any that is free)').argParser(parsePort),
    )
    .option(
      '--actions',
      'the page can pause, move, retry and the like; the audit names the user of this machine',
    )
    .option('--show-event-data', 'the page may show the data of events that were given up')
  for (const add of [databaseOptions, tableOptions]) add(command)
  return command.action(async (flags: ConsoleFlags) => {
    await withSession(io, flags, async ({ pool, checkpoints, place, operations }) => {
      // Whoever can read nothing is told here, and not on the page.
      await operations.list()
      const { events } = place
      const { url, close } = await serveConsole({
        pool,
        checkpoints,
        who: io.env.TIDEMARK_WHO ?? io.user,
        queryTimeoutMs: QUERY_TIMEOUT_MS,
        ...(events === undefined ? {} : { events }),
        ...(flags.port === undefined ? {} : { port: flags.port }),
        actions: flags.actions === true,
        showEventData: flags.showEventData === true,
      })
      io.out.write(`Open ${url}\nIt ends with Ctrl-C.\n`)
      if (!io.signal.aborted) await once(io.signal, 'abort')
      await close()
      done(EXIT.interrupted)
    })
  })
}
