import { EXIT, explain, readOptions } from './command-line.ts'
import { runDemo } from './demo.ts'
import { listenForInterruption } from './interruption.ts'
import { HELP, parseOptions } from './options.ts'
import { report, type Told } from './verdict/report.ts'
import { toJson } from './verdict/verdict.ts'
import { paintFor } from './view/paint.ts'

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args, parseOptions, { help: HELP, script: 'demo' })
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
