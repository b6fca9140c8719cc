import { ALERTS } from './alerts.ts'
import { dashboard } from './dashboard.ts'
import { withMetricsTables } from './metrics-table.ts'
import { ROWS } from './panels.ts'
import { rulesFile } from './rules-file.ts'

export interface GenerateOptions {
  /** Where people can open docs/runbook.md. @default its path in this repository */
  readonly runbook?: string
}

/** Every generated file, by its path in the repository. */
export async function generatedFiles(
  read: (path: string) => Promise<string>,
  { runbook = 'docs/runbook.md' }: GenerateOptions = {},
): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['monitoring/dashboard.json', `${JSON.stringify(dashboard(ROWS, runbook), null, 2)}\n`],
    ['monitoring/alerts.yaml', rulesFile(ALERTS, runbook)],
    ['docs/telemetry.md', withMetricsTables(await read('docs/telemetry.md'))],
  ])
}
