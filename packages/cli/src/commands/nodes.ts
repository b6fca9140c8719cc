import { nodesBySource } from '@tidemark/console/status'
import { type NodeOperationName, rehearseNode } from '@tidemark/core/operations'
import { Command, Option } from 'commander'
import { askerOf, isToBeDone } from '../change.ts'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatNodeEntries } from '../format/audit.ts'
import { formatNodeOutcome, formatWouldChangeNodes } from '../format/node-change.ts'
import { formatNodes } from '../format/nodes.ts'
import type { Io } from '../io.ts'
import {
  type ChangeFlags,
  type CommonFlags,
  changeOptions,
  databaseOptions,
  limitOption,
  outputOptions,
} from '../options.ts'
import { parseDuration, parseId } from '../parse-values.ts'
import { print } from '../print.ts'
import { withSession } from '../session.ts'
import { show } from '../show.ts'

interface ListFlags extends CommonFlags {
  readonly watch?: number | true
}

interface AuditFlags extends CommonFlags {
  readonly node?: string
  readonly before?: bigint
  readonly limit: number
}

const LIMIT = 50

/** What becomes of a node. */
const WHAT: Readonly<Record<NodeOperationName, string>> = {
  drain: 'it gives back what it has, each after the batch at hand, and is given no more',
  cordon: 'it keeps what it has, and is given no more',
  open: 'it takes part again, and is given its share',
}

export function nodesCommand(io: Io, done: Done): Command {
  const parent = new Command('nodes')
    .summary('list, drain, cordon, open, audit: which node has what')
    .description(
      'The processes that share projections by leases, and what each has. Daemons without the option nodes are not among them. ' +
        'Without a command: list.',
    )
  parent.addCommand(listCommand(io, done), { isDefault: true })
  for (const name of ['drain', 'cordon', 'open'] as const) parent.addCommand(changeCommand(io, done, name))
  parent.addCommand(auditCommand(io, done))
  return parent
}

function listCommand(io: Io, done: Done): Command {
  const command = new Command('list')
    .summary('which node has what')
    .description('Which node has what. Ends with 1 where a projection has no node that is alive.')
  databaseOptions(command)
  outputOptions(command).addOption(
    new Option('--watch [every]', 'show it again and again').argParser(parseDuration),
  )
  return command.action(async (flags: ListFlags) => {
    await withSession(io, flags, async ({ operations }) => {
      const exit = await show(io, flags, async () => {
        const units = await operations.list()
        const sources = nodesBySource(await operations.nodes.list(), units)
        const isUnowned = sources.some(({ nodes, unowned }) => nodes.length > 0 && unowned.length > 0)
        return {
          text: formatNodes(sources, { nowMs: Date.now(), columns: io.out.columns }),
          json: { sources },
          exit: isUnowned ? EXIT.notReached : EXIT.done,
        }
      })
      done(exit)
    })
  })
}

function changeCommand(io: Io, done: Done, name: NodeOperationName): Command {
  const command = new Command(name)
    .summary(WHAT[name])
    .description(
      `${WHAT[name].charAt(0).toUpperCase()}${WHAT[name].slice(1)}. That holds for every run of that name, also for one that starts ` +
        'later, until something else is wanted of it. It is not waited for: tidemark nodes shows what each has.',
    )
    .argument('<node>', 'its name, as tidemark nodes shows it; or the id of one run, as --json shows it')
  for (const add of [changeOptions, databaseOptions, outputOptions]) add(command)
  return command.action(async (node: string, flags: ChangeFlags) => {
    await withSession(io, flags, async (session) => {
      const { operations, checkpoints } = session
      const request = { node, ...askerOf(session, flags) }
      const isWanted = await isToBeDone(session, flags, async () => {
        const would = await rehearseNode({ checkpoints }, name, request)
        return {
          text: formatWouldChangeNodes(name, would, await operations.nodes.list()),
          json: would,
          isNothing: would.length === 0,
        }
      })
      if (!isWanted) return done(EXIT.done)
      const outcome = await operations.nodes[name](request)
      const nodes = await operations.nodes.list()
      print(io, flags, { text: formatNodeOutcome(name, node, outcome, nodes), json: outcome })
      done(EXIT.done)
    })
  })
}

function auditCommand(io: Io, done: Done): Command {
  const command = new Command('audit')
    .summary('who has wanted what of which node, when and why')
    .description('Who has wanted what of which node, when and why: the newest first.')
    .option('--node <name>', 'what was wanted of that node')
    .addOption(new Option('--before <id>', 'the next page: entries before that one').argParser(parseId))
  limitOption(command, LIMIT)
  for (const add of [databaseOptions, outputOptions]) add(command)
  return command.action(async (flags: AuditFlags) => {
    await withSession(io, flags, async ({ operations }) => {
      const { node, before, limit } = flags
      const entries = await operations.nodes.audit({
        limit,
        ...(node === undefined ? {} : { node }),
        ...(before === undefined ? {} : { before }),
      })
      print(io, flags, {
        text: formatNodeEntries(entries, { limit, columns: io.out.columns }),
        json: { entries },
      })
      done(EXIT.done)
    })
  })
}
