import { EXIT, explain, readOptions } from '../command-line.ts'
import { listenForInterruption } from '../interruption.ts'
import { paintFor } from '../view/paint.ts'
import { HELP, parseOptions } from './options.ts'
import { falselyAccused, report, toJson } from './report.ts'
import { runWatchDemo } from './run.ts'

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args, parseOptions, { help: HELP, script: 'demo:watch' })
  if (typeof options === 'number') return options
  const interruption = listenForInterruption()
  try {
    const told = await runWatchDemo(options, interruption.signal)
    if (told === undefined) return EXIT.interrupted
    const stream = options.json ? process.stderr : process.stdout
    stream.write(report(told, paintFor(stream)))
    if (options.json) process.stdout.write(`${toJson(told)}\n`)
    return falselyAccused(told) === 0 ? EXIT.passed : EXIT.failed
  } catch (error) {
    process.stderr.write(`\nThe demo could not run: ${explain(error)}\n`)
    return EXIT.failed
  } finally {
    interruption.dispose()
  }
}
