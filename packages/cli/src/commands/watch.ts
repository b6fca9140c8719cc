import { setTimeout as sleep } from 'node:timers/promises'
import { type ConsumerCheckpoints, createWatch, type LostEvent, type WatchStatus } from '@tidemark/core'
import { postgresCheckpointsVersion, postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import { Command, Option } from 'commander'
import type { ConsumersConfig } from '../config.ts'
import type { Done } from '../done.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { formatLoss, formatWatched } from '../format/watch.ts'
import type { Io } from '../io.ts'
import { isColoured, jsonOf, type Line, textOf } from '../lines.ts'
import { type CommonFlags, databaseOptions, outputOptions, repeatedOption, tableOptions } from '../options.ts'
import { parseDuration } from '../parse-values.ts'
import { presetOf } from '../presets.ts'
import { QUERY_TIMEOUT_MS, type Session, theEvents, withSession } from '../session.ts'
import { RefusedError, UsageError } from '../usage-error.ts'

interface WatchFlags extends CommonFlags {
  readonly for?: number
  readonly consumers?: string
  readonly consumer?: string
  readonly checkpoint?: string
  readonly handles?: readonly string[]
  readonly keep?: boolean
}

const STATUS_EVERY_MS = 10_000
const LOOK_EVERY_MS = 200

export function watchCommand(io: Io, done: Done): Command {
  const command = new Command('watch')
    .summary('what consumers that are not ours lose, live')
    .description(
      'Watches consumers that Tidemark does not run, by their checkpoints: each event that one has passed before it was visible is told, and ' +
        'how far each is. It only reads, unless --keep is given. It tells of what happens from now on; of the past, audit-commits does. Ends with 1 where an event was lost.',
    )
    .addOption(
      new Option('--for <time>', 'end after that time (default: at Ctrl-C)').argParser(parseDuration),
    )
    .option('--keep', "keep what was lost in Tidemark's tables, so that status tells of it; this writes")
    .optionsGroup('Consumers:')
    .option('--consumers <table>', 'the table of their checkpoints; a preset or tidemark.config knows it')
    .option('--consumer <column>', 'the column that names a consumer (default: name)')
    .option('--checkpoint <column>', 'the column of its checkpoint (default: position)')
  repeatedOption(
    command,
    '--handles <consumer=types>',
    'which event types it handles, as invoices=OrderPlaced,OrderPaid, or all; else a loss is told as passed',
  )
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (flags: WatchFlags) => {
    await withSession(io, flags, async (session) => done(await watch(session, flags)))
  })
}

async function watch(session: Session, flags: WatchFlags): Promise<ExitCode> {
  const { io, pool, checkpoints } = session
  const write = (lines: readonly Line[], json: unknown): void => {
    if (flags.json === true) io.out.write(`${jsonOf(json)}\n`)
    else io.out.write(textOf(lines, { color: isColoured(io.out, io, flags.color !== false) }))
  }
  const events = await theEvents(session)
  if (flags.keep === true) await requireTables(session)
  const lost: LostEvent[] = []
  const watching = createWatch({
    source: watchedPostgresEvents({ ...events, pool, queryTimeoutMs: QUERY_TIMEOUT_MS }),
    consumers: consumersOf(session, flags),
    ...(flags.keep === true ? { ledger: checkpoints } : {}),
    telemetry: {
      consumerLostEvents: ({ events: told }) => {
        for (const event of told) {
          lost.push(event)
          write(formatLoss(event), { lost: { ...event, visibleAtMs: event.visibleAt.getTime() } })
        }
      },
    },
  })
  await watching.start()
  try {
    // A watch waits for a store that cannot be reached. A person wants to know.
    const { error, looks } = watching.status()
    if (error !== undefined && looks === 0) throw error
    await shown(
      io,
      () => watching.status(),
      flags.for,
      (status) => {
        write(formatWatched(status, { nowMs: Date.now(), columns: io.out.columns }), { status })
      },
    )
  } finally {
    await watching.stop()
  }
  if (lost.length > 0) return EXIT.notReached
  return io.signal.aborted ? EXIT.interrupted : EXIT.done
}

/** Where losses are kept, the tables would be brought to the newest version in passing. */
async function requireTables({ pool, place }: Session): Promise<void> {
  const { schema } = place
  const { applied, latest } = await postgresCheckpointsVersion({
    pool,
    schema,
    queryTimeoutMs: QUERY_TIMEOUT_MS,
  })
  if (applied >= latest) return
  const found = applied === 0 ? 'are not there' : `are of the version ${applied}, and not ${latest}`
  throw new RefusedError(`Nothing can be kept: Tidemark's own tables in the schema ${schema} ${found}.`, [
    'Make them first: tidemark migrations apply. Or leave out --keep.',
  ])
}

/** A status once there was a look, one now and then, and one at the end: so long after the first look, or never by itself. */
async function shown(
  io: Io,
  read: () => WatchStatus,
  forMs: number | undefined,
  show: (status: WatchStatus) => void,
): Promise<void> {
  let nextAtMs = 0
  let endsAtMs: number | undefined
  while (!io.signal.aborted) {
    const status = read()
    const nowMs = performance.now()
    if (status.looks > 0) {
      endsAtMs ??= nowMs + (forMs ?? Number.POSITIVE_INFINITY)
      const isOver = nowMs >= endsAtMs
      if (isOver || nowMs >= nextAtMs) {
        show(status)
        nextAtMs = nowMs + STATUS_EVERY_MS
      }
      if (isOver) return
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal: io.signal }).catch(() => {})
  }
}

function consumersOf(
  session: Session,
  flags: WatchFlags,
): ConsumerCheckpoints | readonly ConsumerCheckpoints[] {
  const { pool, place } = session
  const eventTypes = handledTypes(flags.handles ?? [])
  const configs = configsOf(flags, place.consumers, place.preset && presetOf(place.preset).consumers)
  return configs.map((config) =>
    postgresConsumers({
      ...config,
      pool,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
      eventTypes: { ...config.eventTypes, ...eventTypes },
    }),
  )
}

function configsOf(
  { consumers, consumer = 'name', checkpoint = 'position' }: WatchFlags,
  ofConfig: readonly ConsumersConfig[],
  ofPreset: ConsumersConfig | undefined,
): readonly ConsumersConfig[] {
  if (consumers !== undefined) return [{ table: consumers, consumer, checkpoint }]
  if (ofConfig.length > 0) return ofConfig
  if (ofPreset !== undefined) return [ofPreset]
  throw new UsageError('Where the consumers keep their checkpoints was not said.', [
    'Name it: --consumers <table> --consumer <column> --checkpoint <column>; or --preset; or consumers in tidemark.config.js.',
  ])
}

function handledTypes(given: readonly string[]): Readonly<Record<string, readonly string[] | 'all'>> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=')
      const [name, types] = [text.slice(0, at), text.slice(at + 1)]
      if (at < 1 || types === '') {
        throw new UsageError(`--handles: ${JSON.stringify(text)} does not say a consumer and its types.`, [
          'Write it so: --handles invoices=OrderPlaced,OrderPaid, or --handles invoices=all',
        ])
      }
      return [name, types === 'all' ? 'all' : types.split(',')]
    }),
  )
}
