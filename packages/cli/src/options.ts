import { type Command, Option } from 'commander'
import { collect, parseCount, parseDuration } from './parse-values.ts'
import type { PlaceFlags } from './place.ts'
import { PRESET_NAMES } from './presets.ts'
import type { OutputFlags } from './print.ts'

/** Options that several commands have. Each command has them of its own, so that its help and its completion are whole. */

export type CommonFlags = PlaceFlags & OutputFlags

/** Which database, and where Tidemark's own tables are. */
export function databaseOptions(command: Command): Command {
  return command
    .optionsGroup('Database:')
    .option(
      '--database-url <url>',
      'the database (default: DATABASE_URL; or PGHOST, PGDATABASE and the like)',
    )
    .option('--schema <name>', "where Tidemark's own tables are (default: tidemark)")
    .option('--config <file>', 'in place of tidemark.config.ts, .js, .mjs or .json of this folder')
}

/** Which table of events. */
export function tableOptions(command: Command): Command {
  return command
    .optionsGroup('Events:')
    .option(
      '--table <name>',
      'the table of the events (default: the one that the checkpoints are named after)',
    )
    .option('--position <column>', 'the column of their position (default: position)')
    .option('--sequence <name>', 'the sequence of a position that has no default')
    .option('--event-type <column>', 'the column of their type')
    .addOption(new Option('--preset <name>', 'the tables of that project').choices(PRESET_NAMES))
}

export function outputOptions(command: Command): Command {
  return command
    .optionsGroup('Output:')
    .option('--json', 'JSON for programs, in place of text')
    .option('--no-color', 'no colours; nor are there any in a pipe, or with NO_COLOR')
}

export interface ChangeFlags extends CommonFlags {
  readonly why?: string
  readonly who?: string
  readonly yes?: boolean
  readonly dryRun?: boolean
  readonly timeout?: number
}

/** Of what changes something. */
export function changeOptions(command: Command): Command {
  return command
    .optionsGroup('Change:')
    .option('--why <text>', 'the reason, for the audit and for whoever looks; needed, except for --dry-run')
    .option('--who <name>', 'who asks, for the audit (default: TIDEMARK_WHO, or the user of this machine)')
    .option('-y, --yes', 'do it without asking; needed in a script, where nobody can be asked')
    .option('--dry-run', 'only say what would happen')
}

export function timeoutOption(command: Command, what: string, ms: number): Command {
  return command.addOption(
    new Option('--timeout <time>', what).argParser(parseDuration).default(ms, `${ms / 1_000}s`),
  )
}

/** Of what lists. */
export function limitOption(command: Command, most: number): Command {
  return command.addOption(
    new Option('--limit <number>', 'how many at most, up to 1000').argParser(parseCount).default(most),
  )
}

/** One that may be given several times. */
export function repeatedOption(command: Command, flags: string, what: string): Command {
  return command.addOption(new Option(flags, what).argParser(collect))
}
