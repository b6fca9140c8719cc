import { runDemo } from './demo.ts'
import { listenForInterruption } from './interruption.ts'
import { type DemoOptions, HELP, parseOptions, UsageError } from './options.ts'
import { report, type Told } from './verdict/report.ts'
import { toJson } from './verdict/verdict.ts'
import { paintFor } from './view/paint.ts'

const EXIT = { passed: 0, failed: 1, usage: 2, interrupted: 130 } as const

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  if (typeof options === 'number') return options
  const interruption = listenForInterruption()
  try {
    const told = await runDemo(options, interruption.signal, tell)
    if (told === undefined) return EXIT.interrupted
    return told.verdict.passed ? EXIT.passed : EXIT.failed
  } catch (error) {
    process.stderr.write(`\nThe demo could not run: ${explain(error)}\n`)
    return EXIT.failed
  } finally {
    interruption.dispose()
  }
}

function tell(told: Told): void {
  const stream = told.options.json ? process.stderr : process.stdout
  stream.write(report(told, paintFor(stream)))
  if (told.options.json) process.stdout.write(`${toJson(told.verdict)}\n`)
}

/** The options, or the exit status of a command line that asks for no run. */
function readOptions(args: readonly string[]): DemoOptions | number {
  try {
    const options = parseOptions(args)
    if (options !== 'help') return options
    process.stdout.write(HELP)
    return EXIT.passed
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\nSee: pnpm demo --help\n`)
    return EXIT.usage
  }
}

/** An error with a code is one of the server, the network or the library, and says it all. */
function explain(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(explain).join('; ')
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? error.message : String(error.stack)
}
