import tab from '@bomb.sh/tab/commander'
import { Command } from 'commander'
import { auditCommand } from './commands/audit.ts'
import { auditCommitsCommand } from './commands/audit-commits.ts'
import { consoleCommand } from './commands/console.ts'
import { deadLettersCommand } from './commands/dead-letters.ts'
import { doctorCommand } from './commands/doctor.ts'
import { lateCommand } from './commands/late.ts'
import { lostCommand } from './commands/lost.ts'
import { migrationsCommand } from './commands/migrations.ts'
import { nodesCommand } from './commands/nodes.ts'
import { projectionsCommand } from './commands/projections.ts'
import { skipsCommand } from './commands/skips.ts'
import { statusCommand } from './commands/status.ts'
import { waitCommand } from './commands/wait.ts'
import { watchCommand } from './commands/watch.ts'
import { whyCommand } from './commands/why.ts'
import type { Done } from './done.ts'
import { EXIT, EXIT_MEANINGS } from './exit-codes.ts'
import type { Io } from './io.ts'
import { packageVersion } from './package-version.ts'

/** Every command. `done` is told how the one that runs has ended. */
export function createProgram(io: Io, done: Done): Command {
  const program = new Command('tidemark')
    .description('What stands, since when, why, who holds it, and what to do about it.')
    .version(packageVersion(), '-V, --version', 'the version of this program')
    .helpOption('-h, --help', 'this help')
    .helpCommand('help [command]', 'the help of a command')
    // Commands have a --version of their own: that of a projection.
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('  try: the same command with --help, which shows what it takes')
    .configureHelp({ sortSubcommands: false })
    .configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
      getOutHelpWidth: () => io.out.columns ?? HELP_WIDTH,
      getErrHelpWidth: () => io.err.columns ?? HELP_WIDTH,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride()
  const commands: readonly (readonly [string, readonly Command[]])[] = [
    ['See:', [statusCommand, whyCommand, doctorCommand, consoleCommand].map((make) => make(io, done))],
    ['Look closer:', [nodesCommand, skipsCommand, lateCommand, auditCommand].map((make) => make(io, done))],
    ['Act:', [projectionsCommand, deadLettersCommand, waitCommand].map((make) => make(io, done))],
    [
      'Consumers that are not ours:',
      [watchCommand, lostCommand, auditCommitsCommand].map((make) => make(io, done)),
    ],
    ['Set up:', [migrationsCommand(io, done)]],
  ]
  for (const [heading, group] of commands) {
    for (const command of group) program.addCommand(command.helpGroup(heading))
  }
  inherit(program)
  // What is spelled alike does something else: whoever types stop wants no skip.
  program.commands.find((command) => command.name() === 'projections')?.showSuggestionAfterError(false)
  tab(program, { completionCommandName: 'completion' })
  program.commands
    .find((command) => command.name() === 'completion')
    ?.description('print what completes commands and options in a shell')
    .helpGroup('Set up:')
  program.addHelpText('after', `\n${exitCodes()}\n\n${EXAMPLES}`)
  return program
}

const HELP_WIDTH = 100

/** Settings are taken over by `command()`, not by `addCommand()`. */
function inherit(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent)
    inherit(command)
  }
}

function exitCodes(): string {
  const names = Object.keys(EXIT) as (keyof typeof EXIT)[]
  return [
    'Exit codes:',
    ...names.map((name) => `  ${String(EXIT[name]).padEnd(4)} ${EXIT_MEANINGS[name]}`),
  ].join('\n')
}

const EXAMPLES = `Examples:
  tidemark status                      what is wrong, and every projection
  tidemark why                         who holds up the mark, and what ends that
  tidemark wait orders --timeout 5m    in a deploy script: until everything so far is handled
  source <(tidemark completion bash)   completion, in this shell`
