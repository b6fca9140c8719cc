import { inspect } from 'node:util'
import { CommanderError } from 'commander'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { type Explanation, explain } from './explain-error.ts'
import type { Io } from './io.ts'
import type { ChangeFlags } from './options.ts'
import { resolvePlace } from './place.ts'
import { printError } from './print.ts'
import { createProgram } from './program.ts'
import { readConfig } from './read-config.ts'

/** Runs one command line, and answers how it ends. Never rejects. */
export async function run(args: readonly string[], io: Io): Promise<ExitCode> {
  let exit: ExitCode = EXIT.done
  const program = createProgram(io, (code) => {
    exit = code
  })
  let flags: ChangeFlags = {}
  program.hook('preAction', (_, command) => {
    flags = command.opts<ChangeFlags>()
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return exit
  } catch (error) {
    if (error instanceof CommanderError) return ofCommander(error)
    if (io.signal.aborted) return EXIT.interrupted
    const explanation = await explained(error, flags, io)
    printError(io, flags, explanation)
    if (io.env.TIDEMARK_DEBUG === '1') io.err.write(`${inspect(error)}\n`)
    return explanation.exit
  }
}

/** Commander has said what is wrong, or has shown the help that was asked for. */
function ofCommander({ exitCode }: CommanderError): ExitCode {
  return exitCode === 0 ? EXIT.done : EXIT.usage
}

async function explained(error: unknown, flags: ChangeFlags, io: Io): Promise<Explanation> {
  try {
    const { called, schema } = resolvePlace(flags, io.env, await readConfig(io.cwd, flags.config))
    return explain(error, { called, schema, isChange: flags.why !== undefined })
  } catch {
    return explain(error, { called: undefined, schema: 'tidemark', isChange: false })
  }
}
