import { setTimeout as sleep } from 'node:timers/promises'
import { argument, duration, eventsOf, type OperatedSource, readMark } from '@tidemark/console/status'
import { createProgressReader, type ProgressReader } from '@tidemark/core'
import { Argument, Command, Option } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import type { Io } from '../io.ts'
import { type CommonFlags, databaseOptions, outputOptions, tableOptions, timeoutOption } from '../options.ts'
import { parseCount, parsePosition } from '../parse-values.ts'
import { print } from '../print.ts'
import { ProgressLine } from '../progress.ts'
import { operationsOf, readerOf, type Session, theEvents, withSession } from '../session.ts'
import { UsageError } from '../usage-error.ts'

interface WaitFlags extends CommonFlags {
  readonly version?: number
  readonly timeout: number
}

const TIMEOUT_MS = 300_000
const LOOK_EVERY_MS = 1_000

export function waitCommand(io: Io, done: Done): Command {
  const command = new Command('wait')
    .summary('until a projection has reached a position')
    .description(
      'Waits until a projection has handled, or given up, everything up to a position: for deploy scripts and tests. Ends with 1 where ' +
        'that is not so in time.',
    )
    .argument('<projection>', 'its name')
    .addArgument(
      new Argument(
        '[position]',
        'the position (default: up to where it is safe to read when this begins)',
      ).argParser(parsePosition),
    )
    .addOption(
      new Option('--version <number>', 'which version of it (default: the live one)').argParser(parseCount),
    )
  timeoutOption(command, 'how long to wait', TIMEOUT_MS)
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (projection: string, given: bigint | undefined, flags: WaitFlags) => {
    await withSession(io, flags, async (session) => {
      const source = await sourceOf(session, projection)
      const position = given ?? (await markOf(session, source.name))
      const reader = createProgressReader({ checkpoints: session.checkpoints, source })
      const startedMs = performance.now()
      if (position !== undefined) await followed(io, reader, { projection, position }, flags)
      const tookMs = Math.round(performance.now() - startedMs)
      const at = position === undefined ? 'what there is: nothing' : String(position)
      print(io, flags, {
        text: [{ text: `${projection} has reached ${at}, after ${duration(tookMs)}.`, tone: 'good' }],
        json: { projection, version: flags.version ?? null, position: position ?? null, tookMs },
      })
      done(EXIT.done)
    })
  })
}

/** A projection that was not started yet is waited for too: its source is the only one then. */
async function sourceOf(session: Session, projection: string): Promise<OperatedSource['source']> {
  const units = await session.operations.list({ projection })
  const [unit] = units
  if (unit !== undefined) return operationsOf(session, unit.source, units).source
  const { name, table } = await theEvents(session)
  return operationsOf(session, name ?? table, []).source
}

/** `undefined`: there is nothing to wait for. */
async function markOf(session: Session, source: string): Promise<bigint | undefined> {
  const events = eventsOf(session.place.events, source, [source])
  if (events === undefined) {
    throw new UsageError(`Up to which position was not said, and ${argument(source)} tells no table.`, [
      'Say the position, as insert ... returning position gives it. Or name the table: --table',
    ])
  }
  const { mark, head, isProven } = await readMark(readerOf(session), events)
  return isProven ? mark : head
}

/** Shows how far it is meanwhile. */
async function followed(
  io: Io,
  reader: ProgressReader<bigint>,
  { projection, position }: { readonly projection: string; readonly position: bigint },
  { version, timeout }: WaitFlags,
): Promise<void> {
  const line = new ProgressLine(io)
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, io.signal])
  const showing = (async () => {
    let first: bigint | undefined
    for (;;) {
      await sleep(LOOK_EVERY_MS, undefined, { signal })
      const at = (await reader.position(projection)) ?? 0n
      first ??= at
      line.at({ done: Number(at - first), of: Number(position - first), what: 'positions' })
    }
  })().catch(() => {})
  try {
    await reader.waitFor({
      projection,
      position,
      timeoutMs: timeout,
      signal: io.signal,
      ...(version === undefined ? {} : { version }),
    })
  } finally {
    over.abort()
    await showing
    line.end()
  }
}
