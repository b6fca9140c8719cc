/**
 * `pnpm bench:watch`: the demo of the watch, over seeds, Postgres versions, commit timestamps and slow handlers: what share of the
 * events that were lost to visibility the watch has proven, and that it accused nobody falsely. Exits with 1 if it did.
 */
import { execFile } from 'node:child_process'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readCommandLine } from './support/command-line.ts'
import { describeMachine } from './support/environment.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:watch')
const { seeds, seconds } = readCommandLine({ seeds: 5, seconds: 8 }, { seeds: 1, seconds: 2 })
const MAIN = fileURLToPath(new URL('../../examples/demo/dist/watch/main.js', import.meta.url))
const MAJORS = [14, 18]
const HANDLERS_MS = [0, 5, 50]

/** The object of `--json`, as far as it is used here. */
interface Verdict {
  readonly looksApartMs: number
  readonly consumers: readonly Judged[]
  readonly falselyAccused: number
  readonly troubles: readonly string[]
}

interface Judged {
  readonly name: string
  readonly committed: number
  readonly lostToVisibility: number
  readonly lostOtherwise: number
  readonly provenLost: number
  readonly falselyAccused: number
}

interface Run {
  readonly handlerMs: number
  readonly verdict: Verdict
}

console.log(describeMachine())
const runs: Run[] = []
// The seeds in the outer loop: whoever ends it early has seen every kind of run.
for (let seed = 1; seed <= seeds; seed++) {
  for (const major of MAJORS) {
    for (const trackCommitTimestamp of [false, true]) {
      for (const handlerMs of HANDLERS_MS) {
        const verdict = await demo([
          ...['--postgres', String(major), '--handler-ms', String(handlerMs), '--seed', String(seed)],
          ...(trackCommitTimestamp ? ['--track-commit-timestamp'] : []),
        ])
        runs.push({ handlerMs, verdict })
        console.log(
          `seed ${seed}, PostgreSQL ${major}, commit timestamps ${trackCommitTimestamp ? 'on' : 'off'}, ` +
            `handlers ${handlerMs} ms: ${describe(verdict)}`,
        )
      }
    }
  }
}

for (const handlerMs of HANDLERS_MS) {
  console.log(`\nhandlers ${handlerMs} ms`)
  const verdicts = runs.filter((run) => run.handlerMs === handlerMs).map(({ verdict }) => verdict)
  printTable(
    ['consumer', 'events', 'lost unseen', 'proven', 'share', 'lost otherwise', 'accused falsely'],
    [0, 1, 2].map((index) => rowOf(verdicts.flatMap(({ consumers }) => consumers[index] ?? []))),
  )
}
const falsely = runs.reduce((sum, { verdict }) => sum + verdict.falselyAccused, 0)
console.log(`\n${runs.length} runs, accused falsely: ${falsely}; load after ${loadavg()[0]?.toFixed(1)}`)
process.exitCode = falsely === 0 ? 0 : 1

async function demo(args: readonly string[]): Promise<Verdict> {
  const run = promisify(execFile)(process.execPath, [MAIN, '--json', '--seconds', String(seconds), ...args])
  // A false accusation is an exit status too.
  const { stdout } = await run.catch((error: { stdout?: string }) => {
    if (!error.stdout?.includes('falselyAccused')) throw error
    return { stdout: error.stdout }
  })
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Verdict
}

function describe({ consumers, looksApartMs, falselyAccused, troubles }: Verdict): string {
  const shares = consumers.map((each) => `${each.name} ${each.provenLost} of ${each.lostToVisibility}`)
  return [
    `proven ${shares.join(', ')}`,
    `falsely ${falselyAccused}`,
    `looks ${looksApartMs.toFixed(0)} ms apart`,
    `load ${loadavg()[0]?.toFixed(1)}`,
    ...troubles,
  ].join('; ')
}

function rowOf(judged: readonly Judged[]): readonly string[] {
  const sum = (of: (each: Judged) => number): number => judged.reduce((total, each) => total + of(each), 0)
  const lost = sum(({ lostToVisibility }) => lostToVisibility)
  const proven = sum(({ provenLost }) => provenLost)
  return [
    judged[0]?.name ?? '',
    wholeNumber(sum(({ committed }) => committed)),
    wholeNumber(lost),
    wholeNumber(proven),
    lost === 0 ? '–' : `${Math.round((100 * proven) / lost)} %`,
    wholeNumber(sum(({ lostOtherwise }) => lostOtherwise)),
    wholeNumber(sum(({ falselyAccused }) => falselyAccused)),
  ]
}
