import { ALERTS } from './alerts.ts'
import { dashboard } from './dashboard.ts'
import { withMetricsTables } from './metrics-table.ts'
import { ROWS } from './panels.ts'
import { rulesFile } from './rules-file.ts'
import { checkRunbookAddress, type RunbookAddress } from './runbook.ts'

/**
 * Every generated file, by its path in the repository.
 *
 * @throws where `runbook` is no address that a browser opens
 */
export async function generatedFiles(
  read: (path: string) => Promise<string>,
  runbook?: RunbookAddress,
): Promise<ReadonlyMap<string, string>> {
  if (runbook !== undefined) checkRunbookAddress(runbook)
  return new Map([
    ['monitoring/dashboard.json', `${JSON.stringify(dashboard(ROWS, runbook), null, 2)}\n`],
    ['monitoring/alerts.yaml', rulesFile(ALERTS, runbook)],
    ['docs/telemetry.md', withMetricsTables(await read('docs/telemetry.md'))],
  ])
}
