import {
  createOperations,
  type MoveRequest,
  type OperationRequest,
  type Operations,
  type OperationsOptions,
  type Outcome,
  type Rehearsed,
  type ReshardRequest,
  rehearse,
  type SkipRequest,
} from '@tidemark/core/operations'
import { Argument, Command, Option } from 'commander'
import { askerOf, isToBeDone, wouldOf } from '../change.ts'
import type { Done } from '../done.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { formatOutcome } from '../format/outcome.ts'
import type { Io } from '../io.ts'
import {
  type ChangeFlags,
  changeOptions,
  databaseOptions,
  outputOptions,
  tableOptions,
  timeoutOption,
} from '../options.ts'
import { parseCount, parsePlace, parsePosition } from '../parse-values.ts'
import { print } from '../print.ts'
import { patiently } from '../progress.ts'
import { operationsOn, type Session, withSession } from '../session.ts'

interface OperationFlags extends ChangeFlags {
  readonly version?: number
}

/** One operation: how it is asked for, and what it would do. */
interface Operation<R> {
  readonly does: (operations: Operations<bigint>, request: R) => Promise<Outcome>
  readonly rehearses: (options: OperationsOptions<bigint>, request: R) => Promise<readonly Rehearsed[]>
  /** Whether it takes positions, and so needs the source. */
  readonly takesPositions?: boolean
  /** What is waited for. */
  readonly waitsFor: string
}

const TIMEOUT_MS = 30_000

const BATCH = 'the batch at hand'
const NODE = 'the node that runs it'

const PAUSE: Operation<OperationRequest> = {
  does: (operations, request) => operations.pause(request),
  rehearses: (options, request) => rehearse(options, 'pause', request),
  waitsFor: BATCH,
}
const RESUME: Operation<OperationRequest> = {
  does: (operations, request) => operations.resume(request),
  rehearses: (options, request) => rehearse(options, 'resume', request),
  waitsFor: BATCH,
}
const MOVE: Operation<MoveRequest<bigint>> = {
  does: (operations, request) => operations.moveTo(request),
  rehearses: (options, request) => rehearse(options, 'moveTo', request),
  takesPositions: true,
  waitsFor: BATCH,
}
const SKIP: Operation<SkipRequest<bigint>> = {
  does: (operations, request) => operations.skipNext(request),
  rehearses: (options, request) => rehearse(options, 'skipNext', request),
  takesPositions: true,
  waitsFor: NODE,
}
const REBUILD: Operation<OperationRequest> = {
  does: (operations, request) => operations.rebuild(request),
  rehearses: (options, request) => rehearse(options, 'rebuild', request),
  waitsFor: NODE,
}
const SWITCH: Operation<OperationRequest & { readonly version: number }> = {
  does: (operations, request) => operations.switchTo(request),
  rehearses: (options, request) => rehearse(options, 'switchTo', request),
  waitsFor: NODE,
}
const RETIRE: Operation<OperationRequest> = {
  does: (operations, request) => operations.retire(request),
  rehearses: (options, request) => rehearse(options, 'retire', request),
  waitsFor: BATCH,
}
const FORGET: Operation<OperationRequest> = {
  does: (operations, request) => operations.forget(request),
  rehearses: (options, request) => rehearse(options, 'forget', request),
  waitsFor: BATCH,
}
const RESHARD: Operation<ReshardRequest> = {
  does: (operations, request) => operations.reshard(request),
  rehearses: (options, request) => rehearse(options, 'reshard', request),
  takesPositions: true,
  waitsFor: 'shards that stand apart to meet',
}
const CANCEL: Operation<OperationRequest> = {
  does: (operations, request) => operations.cancel(request),
  rehearses: (options, request) => rehearse(options, 'cancel', request),
  waitsFor: BATCH,
}

export function projectionsCommand(io: Io, done: Done): Command {
  const versioned = (command: Command): Command =>
    command.addOption(
      new Option('--version <number>', 'which version of it; needed where there are several').argParser(
        parseCount,
      ),
    )
  const parent = new Command('projections')
    .summary('pause, resume, skip, move, rebuild, switch, retire, reshard, forget')
    .description(
      'What is done to a projection. Each is one transaction with its entry in the audit; asked twice, it is done once.',
    )

  const add = <R extends OperationRequest>(
    command: Command,
    operation: Operation<R>,
    more: (args: readonly unknown[]) => Omit<R, keyof OperationRequest>,
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
        done(await carryOut(session, flags, operation, { projection, ...more(args) }))
      })
    })
    parent.addCommand(command)
  }
  const none = (): Record<string, never> => ({})

  add(
    versioned(named('pause', 'no batch of it commits any more, on whatever node, until it is resumed')),
    PAUSE,
    none,
  )
  add(versioned(named('resume', 'it goes on from where it stands')), RESUME, none)
  add(
    versioned(
      named('skip', 'pass the event at which it fails: a dead letter keeps where it is, and why'),
    ).addArgument(
      new Argument('<position>', 'where the event is that was seen to fail').argParser(parsePosition),
    ),
    SKIP,
    ([position]) => ({ position: position as bigint }),
  )
  add(
    versioned(named('move', 'move the checkpoint of a paused projection, forward or back')).addArgument(
      new Argument(
        '<position>',
        'the last position that counts as handled; start: before the first event',
      ).argParser(parsePlace),
    ),
    MOVE,
    ([place]) => place as { position: bigint | undefined },
  )
  add(
    versioned(named('rebuild', 'its reset is called, and its events are handled again from the first one')),
    REBUILD,
    none,
  )
  add(
    named('switch', 'make that version the live one, which readers use').addArgument(
      new Argument('<version>', 'the version').argParser(parseCount),
    ),
    SWITCH,
    ([version]) => ({ version: version as number }),
  )
  add(versioned(named('retire', 'stop a version that is not live, for good')), RETIRE, none)
  add(
    named('reshard', 'cut it into another number of shards').addArgument(
      new Argument('<shards>', 'how many there are to be, from 1 to 1024').argParser(parseCount),
    ),
    RESHARD,
    ([shards]) => ({ shards: shards as number }),
  )
  add(
    versioned(named('forget', 'delete the checkpoint of a paused projection that no daemon has any more')),
    FORGET,
    none,
  )
  add(
    versioned(named('cancel', 'withdraw a rebuild, switch or skip that no node has carried out yet')),
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
  print(io, flags, { text: formatOutcome(projection, outcome), json: outcome })
  return EXIT.done
}
