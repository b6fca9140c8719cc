/**
 * `pnpm bench:curve`: delay against load. At one rate of events, what each setting of the daemon's polls costs the server and how long
 * its events wait; beside it Emmett, graphile-worker and, where there is a .NET SDK, Marten (defaults and tuned), each alone.
 */
import type { Cadence, ConsumerName } from './delay/consumer.ts'
import { ms, printResults } from './delay/report.ts'
import { CONSUMER_ROLE, runTrial, type TrialResult } from './delay/trial.ts'
import { ROLES } from './marten/followers.ts'
import { buildMarten, NO_SDK } from './marten/program.ts'
import { runMartenTrial } from './marten/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { createRole } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { percentile } from './support/statistics.ts'

console.log('pnpm bench:curve')
const { rate, seconds } = readCommandLine({ rate: 200, seconds: 20 }, { rate: 50, seconds: 3 })
const DELAYS_MS = [0, 10, 25, 50, 100]
/** One point each: their defaults. */
const PEERS = ['Emmett', 'graphile-worker'] as const

const marten = await buildMarten()
console.log(marten ? `Marten ${marten.version} from NuGet` : NO_SDK)

await withServer(
  async (server) => {
    for (const role of [CONSUMER_ROLE, ROLES.Marten]) await createRole(server, role)
    const results: [string, TrialResult][] = []
    const add = (name: string, result: TrialResult): void => {
      results.push([name, result])
      console.log(`  ${name}: p50 ${ms(percentile(result.delays, 50))}`)
    }
    const run = (consumer: ConsumerName, cadence: Cadence): Promise<TrialResult> =>
      runTrial(server, { consumer, rate, cadence, withOpenTransaction: false }, { seconds, projections: 1 })

    for (const pollDelayMs of DELAYS_MS) {
      add(`Tidemark, pollDelayMs ${pollDelayMs}`, await run('wait', { pollDelayMs }))
    }
    for (const peer of PEERS) add(peer, await run(peer, {}))
    for (const settings of ['defaults', 'tuned'] as const) {
      if (marten === undefined) continue
      const trial = { settings, rate, rolledBack: 0, withTidemark: false }
      for (const result of await runMartenTrial(server, marten, trial, seconds))
        add(`Marten, ${settings}`, result)
    }
    printResults(`${rate} events/s`, results)
  },
  { shared_preload_libraries: 'pg_stat_statements' },
)
