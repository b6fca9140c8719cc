import type { LettersRequest } from '@tidemark/core/operations'
import { Command, Option } from 'commander'
import { askerOf, isToBeDone } from '../change.ts'
import { type ChosenLetters, chooseLetters, type LetterChoice } from '../chosen-letters.ts'
import type { Done } from '../done.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import {
  type ClosedLetters,
  formatClosed,
  formatLetter,
  formatLetters,
  formatRetry,
  formatWouldClose,
} from '../format/dead-letters.ts'
import type { Io } from '../io.ts'
import {
  type ChangeFlags,
  type CommonFlags,
  changeOptions,
  databaseOptions,
  limitOption,
  outputOptions,
  tableOptions,
  timeoutOption,
} from '../options.ts'
import { parseCount } from '../parse-values.ts'
import { print } from '../print.ts'
import { ProgressLine } from '../progress.ts'
import { operationsOf, type Session, withSession } from '../session.ts'
import { RefusedError, UsageError } from '../usage-error.ts'

type State = NonNullable<LettersRequest['state']>

interface ListFlags extends CommonFlags {
  readonly projection?: string
  readonly state: State | 'any'
  readonly type?: string
  readonly after?: string
  readonly limit: number
}

interface CloseFlags extends ChangeFlags {
  readonly projection?: string
  readonly type?: string
  readonly count?: number
  readonly timeout?: number
}

const STATES: readonly (State | 'any')[] = ['open', 'resolved', 'discarded', 'retried', 'replayed', 'any']
const LIMIT = 100
const TIMEOUT_MS = 60_000
/** Closed in one statement. */
const CHUNK = 500
const LOOK_EVERY_MS = 1_000

export function deadLettersCommand(io: Io, done: Done): Command {
  const parent = new Command('dead-letters')
    .summary('list, show, retry, resolve, discard: events that were given up')
    .description(
      'Events that a policy or an operator has given up: where they are, why, and what becomes of them.',
    )
  for (const command of [listCommand(io, done), showCommand(io, done), retryCommand(io, done)]) {
    parent.addCommand(command)
  }
  parent.addCommand(closeCommand(io, done, 'resolve', 'close them: their effect is there by now'))
  parent.addCommand(closeCommand(io, done, 'discard', 'close them: their effect is not wanted'))
  return parent
}

function listCommand(io: Io, done: Done): Command {
  const command = new Command('list')
    .summary('which there are, those that were buried first')
    .description(
      'Which there are, in the order in which they were buried. Of their events nothing is shown but the types.',
    )
    .option('--projection <name>', 'those of that projection')
    .addOption(new Option('--state <state>', 'in which state').choices(STATES).default('open'))
    .option('--type <type>', 'those that have an event of that type')
    .option('--after <id>', 'the next page: those behind that one')
  limitOption(command, LIMIT)
  for (const add of [databaseOptions, outputOptions]) add(command)
  return command.action(async (flags: ListFlags) => {
    await withSession(io, flags, async ({ operations }) => {
      const { projection, state, type: eventType, after, limit } = flags
      const letters = await operations.deadLetters.list({
        limit,
        ...(projection === undefined ? {} : { projection }),
        ...(state === 'any' ? {} : { state }),
        ...(eventType === undefined ? {} : { eventType }),
        ...(after === undefined ? {} : { after }),
      })
      print(io, flags, {
        text: formatLetters(letters, { limit, nowMs: Date.now(), columns: io.out.columns }),
        json: { letters },
      })
      done(EXIT.done)
    })
  })
}

interface ShowFlags extends CommonFlags {
  readonly data?: boolean
}

function showCommand(io: Io, done: Done): Command {
  const command = new Command('show')
    .summary('everything about one, with its stack')
    .description(
      'Everything about one: the error with its stack, and who has decided what. What is in its events is shown with --data alone: ' +
        'it may be personal.',
    )
    .argument('<id>', 'its number, as list shows it')
    .option('--data', 'its events too, as they are in the table now')
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (id: string, flags: ShowFlags) => {
    await withSession(io, flags, async (session) => {
      const { operations } = session
      const letter = await operations.deadLetters.show(id)
      if (letter === undefined) {
        throw new RefusedError(`There is no dead letter ${JSON.stringify(id)}.`, [
          'See which there are: tidemark dead-letters list',
        ])
      }
      const shown =
        flags.data === true
          ? await operationsOf(session, letter.source, []).operations.deadLetters.show(id)
          : letter
      print(io, flags, {
        text: formatLetter(shown ?? letter, { withData: flags.data === true, nowMs: Date.now() }),
        json: shown ?? letter,
      })
      done(EXIT.done)
    })
  })
}

/** Which are meant. */
function chosen(command: Command): Command {
  return command
    .argument('[ids...]', 'their numbers, as list shows them')
    .option('--projection <name>', 'in place of numbers: the open ones of that projection')
    .option('--type <type>', 'with --projection: those that have an event of that type')
    .addOption(
      new Option(
        '--count <number>',
        'with --projection and --yes: how many they were when you looked; nothing is done where there are others',
      ).argParser(parseCount),
    )
}

function closeCommand(io: Io, done: Done, name: 'resolve' | 'discard', what: string): Command {
  const command = chosen(
    new Command(name)
      .summary(what)
      .description(
        `${what.charAt(0).toUpperCase()}${what.slice(1)}. Those that wait behind one of the same key are then retried.`,
      ),
  )
  for (const add of [changeOptions, databaseOptions, outputOptions]) add(command)
  return command.action(async (ids: readonly string[], flags: CloseFlags) => {
    await withSession(io, flags, async (session) => {
      const asker = askerOf(session, flags)
      const letters = await wanted(session, flags, ids, name)
      if (letters === undefined) return done(EXIT.done)
      const closed: string[] = []
      const line = new ProgressLine(io)
      for (let from = 0; from < letters.ids.length; from += CHUNK) {
        const chunk = letters.ids.slice(from, from + CHUNK)
        closed.push(...(await session.operations.deadLetters[name]({ ids: chunk, ...asker })))
        line.at({ done: from + chunk.length, of: letters.ids.length, what: 'dead letters' })
        io.signal.throwIfAborted()
      }
      line.end()
      const left = letters.ids.filter((id) => !closed.includes(id))
      const result: ClosedLetters = { as: name, closed, left }
      print(io, flags, { text: formatClosed(result), json: { closed, left } })
      done(left.length === 0 ? EXIT.done : EXIT.notReached)
    })
  })
}

function retryCommand(io: Io, done: Done): Command {
  const command = chosen(
    new Command('retry')
      .summary('their own handler is given them again, each once')
      .description(
        'Their own handler is given them again, each in one transaction with its closing. A daemon that runs the projection does it. ' +
          'Of those of one key the first is tried, and the others follow once it is handled. Ends with 1 where some have failed again.',
      ),
  )
  changeOptions(command)
  timeoutOption(command, 'how long to wait for the answer; they stay asked for', TIMEOUT_MS)
  for (const add of [databaseOptions, outputOptions]) add(command)
  return command.action(async (ids: readonly string[], flags: CloseFlags) => {
    await withSession(io, flags, async (session) => {
      const asker = askerOf(session, flags)
      const letters = await wanted(session, flags, ids, 'retry')
      if (letters === undefined) return done(EXIT.done)
      const outcome = await watched(session, letters, () =>
        session.operations.deadLetters.retry({
          ids: letters.ids,
          ...asker,
          timeoutMs: flags.timeout ?? TIMEOUT_MS,
          signal: io.signal,
        }),
      )
      print(io, flags, { text: formatRetry(outcome), json: outcome })
      const isWhole = outcome.failed.length === 0 && outcome.left.length === 0
      done(isWhole ? EXIT.done : (EXIT.notReached satisfies ExitCode))
    })
  })
}

/** Those that are to be closed or retried; `undefined`: nothing is to be done. */
async function wanted(
  session: Session,
  flags: CloseFlags,
  ids: readonly string[],
  verb: string,
): Promise<ChosenLetters | undefined> {
  const choice = choiceOf(flags, ids)
  const letters = await chooseLetters(session.operations, choice)
  if ('projection' in choice && flags.yes === true && flags.dryRun !== true)
    requireCount(letters, flags.count)
  const text = formatWouldClose(letters, verb)
  const isWanted = await isToBeDone(session, flags, async () => ({
    text,
    json: letters,
    isNothing: letters.ids.length === 0,
  }))
  return isWanted ? letters : undefined
}

/** Never everything by a slip. */
function choiceOf({ projection, type: eventType }: CloseFlags, ids: readonly string[]): LetterChoice {
  if (projection === undefined && ids.length === 0) {
    throw new UsageError('Which dead letters are meant was not said.', [
      'Name their numbers, or --projection, with --type if it is one kind. Which there are: tidemark dead-letters list',
    ])
  }
  if (projection === undefined) {
    if (eventType === undefined) return { ids }
    throw new UsageError('--type needs --projection beside it.')
  }
  if (ids.length > 0) throw new UsageError('Numbers, or --projection: not both.')
  return { projection, ...(eventType === undefined ? {} : { eventType }) }
}

/** What has come since somebody looked is not meant. */
function requireCount({ ids, filter }: ChosenLetters, count: number | undefined): void {
  if (count === undefined) {
    throw new UsageError(`How many were meant was not said. There are ${ids.length} ${filter}.`, [
      'Look at them: tidemark dead-letters list. Then add --count: nothing is done where there are others by then.',
    ])
  }
  if (count !== ids.length) {
    throw new RefusedError(
      `${count} were meant, and there are ${ids.length} ${filter} now. Nothing was changed.`,
      ['Look at them again: tidemark dead-letters list'],
    )
  }
}

/** Shows how far the server is with them meanwhile. */
async function watched<T>(
  { io, operations }: Session,
  letters: ChosenLetters,
  work: () => Promise<T>,
): Promise<T> {
  const line = new ProgressLine(io)
  const all = letters.ids.length
  let atBegin: number | undefined
  const look = async (): Promise<void> => {
    const open = (await operations.deadLetters.counts())
      .filter(({ projection }) => letters.projections.includes(projection))
      .reduce((sum, each) => sum + each.open, 0)
    atBegin ??= open
    line.at({ done: Math.max(0, Math.min(all, atBegin - open)), of: all, what: 'dead letters' })
  }
  const timer = setInterval(() => void look().catch(() => {}), LOOK_EVERY_MS)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    line.end()
  }
}
