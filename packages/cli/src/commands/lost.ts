import type { KeptLoss } from '@tidemark/core/adapter'
import { Command } from 'commander'
import type { Done } from '../done.ts'
import { EXIT } from '../exit-codes.ts'
import { formatLost } from '../format/watch.ts'
import type { Io } from '../io.ts'
import { type CommonFlags, databaseOptions, limitOption, outputOptions, tableOptions } from '../options.ts'
import { print } from '../print.ts'
import { type Session, withSession } from '../session.ts'

interface LostFlags extends CommonFlags {
  readonly limit: number
}

const LIMIT = 100

export function lostCommand(io: Io, done: Done): Command {
  const command = new Command('lost')
    .summary('which events they have lost, as a watch has kept them')
    .description(
      'Which events consumers have lost that Tidemark does not run, as a watch has kept them (watch --keep, or a watch with a ledger), ' +
        'those that were found last first. What no watch has seen is not there. It only reads.',
    )
  limitOption(command, LIMIT)
  for (const add of [databaseOptions, tableOptions, outputOptions]) add(command)
  return command.action(async (flags: LostFlags) => {
    await withSession(io, flags, async (session) => {
      const { limit } = flags
      const lost: KeptLoss[] = []
      for (const source of await sourcesOf(session)) {
        lost.push(...((await session.checkpoints.lostEvents?.list(source, limit, io.signal)) ?? []))
      }
      print(io, flags, {
        text: formatLost(lost, { limit, nowMs: Date.now(), columns: io.out.columns }),
        json: { lost },
      })
      done(EXIT.done)
    })
  })
}

/** A table that is watched need not have projections. */
async function sourcesOf({ place: { events }, operations }: Session): Promise<readonly string[]> {
  const ofCheckpoints = (await operations.list()).map(({ source }) => source)
  const named = events === undefined ? [] : [events.name ?? events.table]
  return [...new Set([...named, ...ofCheckpoints])]
}
