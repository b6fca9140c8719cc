import { INCIDENTS } from './incidents/incidents.ts'
import { runIncident } from './run.ts'

const EXIT = { solved: 0, failed: 1, usage: 2, interrupted: 130 } as const
/** npx and pnpm pass a Ctrl-C on to this process, which the terminal has told already. */
const SAME_CTRL_C_MS = 400

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const [number = '', ...others] = args.filter((arg) => arg !== '--')
  const incident = INCIDENTS.get(number)
  if (incident === undefined || others.length > 0) {
    process.stderr.write(`Usage: pnpm incident <number>, from 1 to ${INCIDENTS.size}: an incident to solve\n`)
    return EXIT.usage
  }
  const say = (text: string) => void process.stdout.write(text)
  try {
    const isSolved = await runIncident(number, incident, untilInterrupted(), say)
    return isSolved ? EXIT.solved : EXIT.interrupted
  } catch (error) {
    const text = error instanceof Error ? error.stack : String(error)
    process.stderr.write(`The incident could not run: ${text}\n`)
    return EXIT.failed
  }
}

/** Fires at the first Ctrl-C. A second one ends this process at once; what it has started goes with it. */
function untilInterrupted(): AbortSignal {
  const interruption = new AbortController()
  let firstAtMs = 0
  const onSignal = () => {
    if (!interruption.signal.aborted) {
      firstAtMs = performance.now()
      interruption.abort()
    } else if (performance.now() - firstAtMs > SAME_CTRL_C_MS) process.exit(EXIT.interrupted)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return interruption.signal
}
