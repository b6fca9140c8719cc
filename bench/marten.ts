/**
 * `pnpm bench:marten`: Marten's async daemon with a subscription, and Tidemark's on the same events at the same time. Marten appends
 * them, from a process of its own. Needs a .NET SDK, and takes Marten from NuGet; where there is no SDK it says so. Marten is never shown
 * without all that it has for short delays: "tuned" is `Configure` in marten/Program.cs.
 */
import { ms, printResults } from './delay/report.ts'
import type { TrialResult } from './delay/trial.ts'
import { ROLES } from './marten/followers.ts'
import { buildMarten, type MartenProgram, NO_SDK } from './marten/program.ts'
import { type MartenTrial, runMartenTrial } from './marten/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { createRole } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { percentile } from './support/statistics.ts'

console.log('pnpm bench:marten')
const { seconds, ...options } = readCommandLine(
  { seconds: 60, 'busy-rate': 200, 'rolled-back': 20 },
  { seconds: 5 },
)

const TRIALS: readonly MartenTrial[] = [
  { rate: 0, rolledBack: 0 },
  { rate: 1, rolledBack: 0 },
  { rate: options['busy-rate'], rolledBack: 0 },
  { rate: options['busy-rate'], rolledBack: options['rolled-back'] },
].flatMap((trial) =>
  (['defaults', 'tuned'] as const).map((settings) => ({ ...trial, settings, withTidemark: true })),
)

const program = await buildMarten()
if (program === undefined) console.log(NO_SDK)
else await compare(program)

async function compare(marten: MartenProgram): Promise<void> {
  console.log(`Marten ${marten.version} from NuGet`)
  await withServer(
    async (server) => {
      for (const role of Object.values(ROLES)) await createRole(server, role)
      const results: [string, TrialResult][] = []
      for (const trial of TRIALS) {
        for (const result of await runMartenTrial(server, marten, trial, seconds)) {
          const name = `${describe(trial)}: ${result.name === 'Marten' ? `Marten, ${trial.settings}` : `Tidemark beside ${trial.settings}`}`
          results.push([name, result])
          console.log(`  ${name}: p50 ${ms(percentile(result.delays, 50))}`)
        }
      }
      printResults('events/s, consumer', results)
    },
    { shared_preload_libraries: 'pg_stat_statements' },
  )
}

function describe({ rate, rolledBack }: MartenTrial): string {
  if (rate === 0) return 'idle'
  return rolledBack === 0 ? `${rate}` : `${rate}, 1 of ${rolledBack} rolled back`
}
