import {
  type CheckpointsVersion,
  DIAGNOSE_DEFAULTS,
  type Diagnosis,
  diagnose,
  formatDiagnosis,
  postgresCheckpointsVersion,
} from '@tidemark/pg-adapter'
import { Command, Option } from 'commander'
import type { Done } from '../done.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { formatVersion } from '../format/migrations.ts'
import type { Io } from '../io.ts'
import { linesOf } from '../lines.ts'
import { type CommonFlags, databaseOptions, outputOptions, tableOptions } from '../options.ts'
import { withOwnWords } from '../own-words.ts'
import { parseDuration } from '../parse-values.ts'
import { print } from '../print.ts'
import { QUERY_TIMEOUT_MS, type Session, theEvents, withSession } from '../session.ts'

/** As long as a person waits without wondering, on a server that is far away too; the sample comes on top. */
const TIMEOUT_MS = 10_000
const { sampleMs: SAMPLE_MS } = DIAGNOSE_DEFAULTS

interface DoctorFlags extends CommonFlags {
  readonly sample: number
}

export function doctorCommand(io: Io, done: Done): Command {
  const command = new Command('doctor')
    .summary('whether a table can be proven, and what will hurt')
    .description(
      'Which event stores and consumers the database has, each condition of the proof with the value found, settings that hurt, ' +
        "transactions that are open, how long commits take to become visible, and the version of Tidemark's own tables. It only reads. " +
        'Where no table is known it looks for those of well-known stores. Ends with 1 where there is a problem.',
    )
  command.addOption(
    new Option('--sample <time>', 'how long new events are watched, to see how late they become visible')
      .argParser(parseDuration)
      .default(SAMPLE_MS, `${SAMPLE_MS / 1_000}s`),
  )
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (flags: DoctorFlags) => {
    await withSession(io, flags, async (session) => {
      const diagnosis = await examined(session, flags.sample)
      const tables = isReached(diagnosis) ? await versionOf(session) : undefined
      const { findings, stores, openTransactions } = diagnosis
      print(io, flags, {
        text: [
          ...linesOf(withOwnWords(formatDiagnosis(diagnosis))),
          '',
          ...(findings.some(({ code, about }) => code === 'table_exists' && about === 'server')
            ? ['To name the table of your events: tidemark doctor --table <name> --position <column>']
            : []),
          'What consumers have lost: tidemark audit-commits, of the past, and tidemark watch, live.',
          ...(tables === undefined ? [] : ['', ...formatVersion(session.place.schema, tables)]),
        ],
        json: { findings, stores, openTransactions, tables: tables ?? null },
      })
      done(exitOf(diagnosis))
    })
  })
}

async function examined(session: Session, sampleMs: number): Promise<Diagnosis> {
  const { pool, io } = session
  const events = await theEvents(session).catch(() => undefined)
  return await diagnose({
    pool,
    sampleMs,
    timeoutMs: TIMEOUT_MS + sampleMs,
    signal: io.signal,
    ...(events === undefined ? {} : { preset: { events } }),
  })
}

/** A diagnosis tells what it cannot read, and goes on; so does this. */
async function versionOf({ pool, place }: Session): Promise<CheckpointsVersion | undefined> {
  const { schema } = place
  return await postgresCheckpointsVersion({ pool, schema, queryTimeoutMs: QUERY_TIMEOUT_MS }).catch(
    () => undefined,
  )
}

const isReached = ({ findings }: Diagnosis): boolean => findings.every(({ code }) => code !== 'connection')

function exitOf(diagnosis: Diagnosis): ExitCode {
  if (!isReached(diagnosis)) return EXIT.unreachable
  return diagnosis.findings.some(({ severity }) => severity === 'problem') ? EXIT.notReached : EXIT.done
}
