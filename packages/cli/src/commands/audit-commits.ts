import { AUDIT_COMMITS_DEFAULTS, type AuditProgress, auditCommits, formatAudit } from '@tidemark/pg-adapter'
import { Command, Option } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import type { Io } from '../io.ts'
import { linesOf } from '../lines.ts'
import { type CommonFlags, databaseOptions, outputOptions, tableOptions } from '../options.ts'
import { withOwnWords } from '../own-words.ts'
import { parseCount, parseDuration } from '../parse-values.ts'
import { print } from '../print.ts'
import { type Progress, ProgressLine } from '../progress.ts'
import { theEvents, withSession } from '../session.ts'

interface AuditCommitsFlags extends CommonFlags {
  readonly newest?: number
  readonly live: number
  readonly insertedBy?: string
  readonly rewritten?: string
}

export function auditCommitsCommand(io: Io, done: Done): Command {
  const { liveMs } = AUDIT_COMMITS_DEFAULTS
  const command = new Command('audit-commits')
    .summary('how many events readers could have lost, by how they read')
    .description(
      'In which order the events of a table were committed, and so what readers that do not wait for open transactions have lost, or could ' +
        'lose. It only reads. Where the server keeps no commit timestamps it watches new events for a minute.',
    )
    .addOption(
      new Option('--newest <rows>', 'look at so many of the newest rows (default: all)').argParser(
        parseCount,
      ),
    )
    .addOption(
      new Option('--live <time>', 'how long new events are watched, where the past is not known')
        .argParser(parseDuration)
        .default(liveMs, `${liveMs / 1_000}s`),
    )
    .option(
      '--inserted-by <column>',
      'the column with the transaction that inserted the row; a preset knows it',
    )
    .option(
      '--rewritten <condition>',
      'a condition in SQL that is true for rows that were updated, as is_archived',
    )
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (flags: AuditCommitsFlags) => {
    await withSession(io, flags, async (session) => {
      const { table, position, eventType, placeholderTypes, appendedAt, transaction } =
        await theEvents(session)
      const insertedBy = flags.insertedBy ?? transaction
      const line = new ProgressLine(io)
      const audit = await auditCommits({
        pool: session.pool,
        table,
        liveMs: flags.live,
        signal: io.signal,
        onProgress: (progress) => line.at(toProgress(progress)),
        ...(position === undefined ? {} : { position }),
        ...(eventType === undefined ? {} : { eventType }),
        ...(placeholderTypes === undefined || eventType === undefined ? {} : { placeholderTypes }),
        ...(appendedAt === undefined ? {} : { appendedAt }),
        ...(insertedBy === undefined ? {} : { insertedBy }),
        ...(flags.rewritten === undefined ? {} : { rewritten: flags.rewritten }),
        ...(flags.newest === undefined ? {} : { newest: flags.newest }),
      }).finally(() => line.end())
      print(io, flags, { text: linesOf(withOwnWords(formatAudit(audit))), json: audit })
      done(EXIT.done)
    })
  })
}

/** How far down it is; that the first position is near 0 is as good a guess as any. */
function toProgress(progress: AuditProgress): Progress {
  if (progress.part === 'live') {
    const seconds = (ms: number): number => Math.round(ms / 1_000)
    return { done: seconds(progress.watchedForMs), of: seconds(progress.ofMs), what: 'seconds' }
  }
  const { highest, lowest } = progress
  return { done: Number(highest - lowest), of: Number(highest), what: 'positions' }
}
