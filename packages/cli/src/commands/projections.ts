import { formatOutcome } from '@tidemark/console/status'
import {
  createOperations,
  type OperationRequest,
  type OperationsOptions,
  type ShardRequest,
} from '@tidemark/core/operations'
import { Argument, Command, Option } from 'commander'
import { askerOf, isToBeDone, wouldOf } from '../change.ts'
import type { Done } from '../done.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { Io } from '../io.ts'
import {
  type ChangeFlags,
  changeOptions,
  databaseOptions,
  outputOptions,
  tableOptions,
  timeoutOption,
} from '../options.ts'
import { parseCount, parsePlace, parsePosition, parseSlots } from '../parse-values.ts'
import { print } from '../print.ts'
import { patiently } from '../progress.ts'
import {
  CANCEL,
  FORGET,
  MERGE,
  MOVE,
  type Operation,
  PAUSE,
  REBUILD,
  RESHARD,
  RESUME,
  RETIRE,
  SKIP,
  SPLIT,
  SWITCH,
} from '../projection-operations.ts'
import { operationsOn, type Session, withSession } from '../session.ts'
import { UsageError } from '../usage-error.ts'

interface OperationFlags extends ChangeFlags {
  readonly version?: number
  readonly slots?: ShardRequest['slots']
}

/** What a command line says of an operation, behind the name of the projection. */
interface Said {
  readonly session: Session
  readonly projection: string
  readonly args: readonly unknown[]
  readonly flags: OperationFlags
}

const TIMEOUT_MS = 30_000

export function projectionsCommand(io: Io, done: Done): Command {
  const versioned = (command: Command): Command =>
    command.addOption(
      new Option('--version <number>', 'which version of it; needed where there are several').argParser(
        parseCount,
      ),
    )
  const parent = new Command('projections')
    .summary('pause, resume, skip, move, rebuild, switch, retire, reshard, split, merge, forget, cancel')
    .description(
      'What is done to a projection. Each is one transaction with its entry in the audit; asked twice, it is done once.',
    )

  const add = <R extends OperationRequest>(
    command: Command,
    operation: Operation<R>,
    more: (said: Said) => Omit<R, keyof OperationRequest> | Promise<Omit<R, keyof OperationRequest>>,
  ): void => {
    changeOptions(command)
    timeoutOption(command, `how long to wait for ${operation.waitsFor}`, TIMEOUT_MS)
    for (const options of [
      databaseOptions,
      ...(operation.takesPositions ? [tableOptions] : []),
      outputOptions,
    ]) {
      options(command)
    }
    command.action(async (projection: string, ...args: unknown[]) => {
      const flags = command.opts<OperationFlags>()
      await withSession(io, flags, async (session) => {
        const asked = await more({ session, projection, args, flags })
        done(await carryOut(session, flags, operation, { projection, ...asked }))
      })
    })
    parent.addCommand(command)
  }
  const none = (): Record<string, never> => ({})

  add(
    versioned(named('pause', 'stop it behind the batch at hand, on whatever node, until it is resumed')),
    PAUSE,
    none,
  )
  add(versioned(named('resume', 'let it go on from where it stands')), RESUME, none)
  add(
    versioned(
      named('skip', 'leave out the event at which it fails; a dead letter keeps it, to be retried later'),
    ).addArgument(
      new Argument(
        '<position>',
        'of the event at which it fails, as the log of its daemon names it',
      ).argParser(parsePosition),
    ),
    SKIP,
    ({ args: [position] }) => ({ position: position as bigint }),
  )
  add(
    versioned(
      named('move', 'move a paused projection: forward leaves events out, back handles them again'),
    ).addArgument(
      new Argument(
        '<position>',
        'the last position that then counts as handled; start: before the first event',
      ).argParser(parsePlace),
    ),
    MOVE,
    ({ args: [place] }) => place as { position: bigint | undefined },
  )
  add(
    versioned(named('rebuild', 'call its reset, and handle all its events again from the first one')),
    REBUILD,
    none,
  )
  add(
    named('switch', 'make another version the live one, which readers use').addArgument(
      new Argument('<version>', 'the version').argParser(parseCount),
    ),
    SWITCH,
    ({ args: [version] }) => ({ version: version as number }),
  )
  add(
    versioned(named('retire', 'stop a version that is not live, until it is resumed or forgotten')),
    RETIRE,
    none,
  )
  add(
    named('reshard', 'cut it into another number of shards, all of one size').addArgument(
      new Argument('<shards>', 'how many there are to be, from 1 to 1024').argParser(parseCount),
    ),
    RESHARD,
    ({ args: [shards] }) => ({ shards: shards as number }),
  )
  add(ofShard('split', 'cut one shard into two halves; the others stay as they are'), SPLIT, slotsOf)
  add(
    ofShard('merge', 'make one shard of all that have these slots; the others stay as they are'),
    MERGE,
    slotsOf,
  )
  add(
    versioned(named('forget', 'delete the checkpoint of a paused projection, which no daemon has any more')),
    FORGET,
    none,
  )
  add(
    versioned(named('cancel', 'withdraw a rebuild, switch or skip that was asked for and is not done yet')),
    CANCEL,
    none,
  )
  return parent
}

function named(name: string, what: string): Command {
  return new Command(name)
    .summary(what)
    .description(`${what.charAt(0).toUpperCase()}${what.slice(1)}.`)
    .argument('<projection>', 'its name')
}

function ofShard(name: string, what: string): Command {
  return named(name, what).addOption(
    new Option(
      '--slots <from-to>',
      'the slots, both ends included, as 0-511; without it, which there are',
    ).argParser(parseSlots),
  )
}

/** Whoever does not know the slots is told them. */
async function slotsOf({
  session,
  projection,
  flags: { slots },
}: Said): Promise<Pick<ShardRequest, 'slots'>> {
  if (slots !== undefined) return { slots }
  const { operations } = await operationsOn(session, projection)
  const there = (await operations.list({ projection })).map(
    ({ unit: { slots }, position }) => `${slots.from}-${slots.to}, at ${position ?? 'its beginning'}`,
  )
  throw new UsageError(`Which slots of ${projection} are meant was not said.`, [
    `Name them by --slots. Its shards are:\n${there.join('\n')}`,
  ])
}

async function carryOut<R extends OperationRequest>(
  session: Session,
  flags: OperationFlags,
  operation: Operation<R>,
  asked: { readonly projection: string },
): Promise<ExitCode> {
  const { io, checkpoints } = session
  const { timeout, version } = flags
  const { projection } = asked
  const asker = askerOf(session, flags)
  const options: OperationsOptions<bigint> =
    operation.takesPositions === true
      ? { checkpoints, source: (await operationsOn(session, projection)).source }
      : { checkpoints }
  // Each operation has added what it needs besides.
  const request = {
    ...(version === undefined ? {} : { version }),
    ...asked,
    ...asker,
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    signal: io.signal,
  } as unknown as R
  const isWanted = await isToBeDone(session, flags, async () =>
    wouldOf(await operation.rehearses(options, request)),
  )
  if (!isWanted) return EXIT.done
  const outcome = await patiently(io, `waits for ${operation.waitsFor}`, () =>
    operation.does(createOperations(options), request),
  )
  const [told = '', ...more] = formatOutcome(projection, outcome)
  const isDone = outcome.entry !== undefined
  const first = isDone ? ({ text: told, tone: 'good' } as const) : told
  print(io, flags, { text: [first, ...more], json: outcome })
  return EXIT.done
}
