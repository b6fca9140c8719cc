import { argument, count, type OperatedSource } from '@tidemark/console/status'
import type { LateState } from '@tidemark/core/operations'
import { Command, Option } from 'commander'
import { askerOf, isToBeDone } from '../change.ts'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatLate, formatWouldDecide } from '../format/late.ts'
import type { Io } from '../io.ts'
import {
  type ChangeFlags,
  type CommonFlags,
  changeOptions,
  databaseOptions,
  limitOption,
  outputOptions,
  repeatedOption,
  tableOptions,
  timeoutOption,
} from '../options.ts'
import { parsePosition } from '../parse-values.ts'
import { print } from '../print.ts'
import { patiently } from '../progress.ts'
import { operationsOf, type Session, withSession } from '../session.ts'
import { UsageError } from '../usage-error.ts'

interface ListFlags extends CommonFlags {
  readonly projection?: string
  readonly state: LateState | 'any'
  readonly limit: number
}

interface DecisionFlags extends ChangeFlags {
  readonly from: bigint
  readonly to: bigint
  readonly projection?: readonly string[]
  readonly source?: string
}

const STATES: readonly (LateState | 'any')[] = [
  'open',
  'in_order',
  'on_late_event',
  'reprocessed',
  'discarded',
  'not_wanted',
  'any',
]
const LIMIT = 100
const TIMEOUT_MS = 60_000

export function lateCommand(io: Io, done: Done): Command {
  const parent = new Command('late')
    .summary('list, reprocess, discard: events that came where a mark had passed')
    .description('Events that became visible where a mark had passed already, and what has become of each.')
  parent.addCommand(listCommand(io, done), { isDefault: true })
  parent.addCommand(
    decisionCommand(io, done, 'reprocess', 'their own handler is given them, out of their order'),
  )
  parent.addCommand(decisionCommand(io, done, 'discard', 'nobody is given them any more'))
  return parent
}

function listCommand(io: Io, done: Done): Command {
  const command = new Command('list')
    .summary('which there are, the highest position first')
    .description(
      'Which there are, the highest position first, and what has become of each for each projection.',
    )
    .option('--projection <name>', 'those that this projection has passed')
    .addOption(new Option('--state <state>', 'what has become of them').choices(STATES).default('open'))
  limitOption(command, LIMIT)
  for (const add of [databaseOptions, outputOptions]) add(command)
  return command.action(async (flags: ListFlags) => {
    await withSession(io, flags, async ({ operations }) => {
      const { projection, state, limit } = flags
      const late = await operations.lateEvents({
        limit,
        ...(projection === undefined ? {} : { projection }),
        ...(state === 'any' ? {} : { state }),
      })
      print(io, flags, {
        text: formatLate(late, { limit, nowMs: Date.now(), columns: io.out.columns }),
        json: { late },
      })
      done(EXIT.done)
    })
  })
}

function decisionCommand(io: Io, done: Done, name: 'reprocess' | 'discard', what: string): Command {
  const command = new Command(name)
    .summary(what)
    .description(
      `${what.charAt(0).toUpperCase()}${what.slice(1)}: the open ones between two positions, both included.`,
    )
    .addOption(
      new Option('--from <position>', 'the first position').argParser(parsePosition).makeOptionMandatory(),
    )
    .addOption(
      new Option('--to <position>', 'the last position').argParser(parsePosition).makeOptionMandatory(),
    )
    .option('--source <name>', 'the source, where checkpoints are of several')
  repeatedOption(command, '--projection <name>', 'for that projection alone; may be given several times')
  changeOptions(command)
  if (name === 'reprocess') {
    timeoutOption(command, 'how long to wait for the answer; they stay asked for', TIMEOUT_MS)
  }
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (flags: DecisionFlags) => {
    await withSession(io, flags, async (session) => {
      const { from, to, projection } = flags
      const asker = askerOf(session, flags)
      const { operations } = await operated(session, flags.source)
      const meant = (await operations.lateEvents({ state: 'open', from, to, limit: 1_000 })).filter(
        ({ units }) =>
          projection === undefined || units.some(({ unit }) => projection.includes(unit.projection)),
      )
      const isWanted = await isToBeDone(session, flags, async () => ({
        text: formatWouldDecide(meant, name),
        json: meant,
        isNothing: meant.length === 0,
      }))
      if (!isWanted) return done(EXIT.done)
      const request = { from, to, ...asker, ...(projection === undefined ? {} : { projections: projection }) }
      const decided =
        name === 'discard'
          ? await operations.discardLateEvents(request)
          : await patiently(io, 'waits for the node that runs it', () =>
              operations.reprocess({ ...request, timeoutMs: flags.timeout ?? TIMEOUT_MS, signal: io.signal }),
            )
      const text = `${count(decided, 'late event')} ${name === 'discard' ? 'discarded' : 'handled'}.`
      print(io, flags, { text: [{ text, tone: 'good' }], json: { decided } })
      done(EXIT.done)
    })
  })
}

async function operated(session: Session, named: string | undefined): Promise<OperatedSource> {
  const units = await session.operations.list()
  const sources = [...new Set(units.map(({ source }) => source))]
  const source = named ?? (sources.length === 1 ? sources[0] : undefined)
  if (source !== undefined && sources.includes(source)) {
    return operationsOf(
      session,
      source,
      units.filter((unit) => unit.source === source),
    )
  }
  throw new UsageError('Which source is meant was not said.', [
    sources.length === 0
      ? 'There is no checkpoint at all: see --schema.'
      : `Name it by --source: ${sources.map(argument).join(', ')}`,
  ])
}
