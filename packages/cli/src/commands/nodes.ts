import { Command, Option } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatNodes } from '../format/nodes.ts'
import type { Io } from '../io.ts'
import { type CommonFlags, databaseOptions, outputOptions } from '../options.ts'
import { parseDuration } from '../parse-values.ts'
import { nodesBySource } from '../read/nodes.ts'
import { withSession } from '../session.ts'
import { show } from '../show.ts'

interface NodesFlags extends CommonFlags {
  readonly watch?: number | true
}

export function nodesCommand(io: Io, done: Done): Command {
  const command = new Command('nodes')
    .summary('which node has what')
    .description(
      'The processes that share projections by leases, and what each has. Daemons without the option nodes are not among them. ' +
        'Ends with 1 where a projection has no node that is alive.',
    )
  databaseOptions(command)
  outputOptions(command).addOption(
    new Option('--watch [every]', 'show it again and again').argParser(parseDuration),
  )
  return command.action(async (flags: NodesFlags) => {
    await withSession(io, flags, async ({ operations }) => {
      const exit = await show(io, flags, async () => {
        const units = await operations.list()
        const sources = nodesBySource(await operations.nodes.list(), units)
        const isUnowned = sources.some(({ nodes, unowned }) => nodes.length > 0 && unowned.length > 0)
        return {
          text: formatNodes(sources, io.out.columns),
          json: { sources },
          exit: isUnowned ? EXIT.notReached : EXIT.done,
        }
      })
      done(exit)
    })
  })
}
