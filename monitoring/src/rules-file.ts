import { stringify } from 'yaml'
import type { Alert } from './alerts.ts'
import { GENERATED } from './generated.ts'

/** The rules as Prometheus reads them; `runbook` is the address of docs/runbook.md where people can open it. */
export function rulesFile(alerts: readonly Alert[], runbook: string): string {
  const rules = alerts.map(({ name, section, severity, for: duration, summary, description, expr }) => ({
    alert: name,
    expr: `${expr}\n`,
    for: duration,
    labels: { severity },
    annotations: { summary, description, runbook_url: `${runbook}#${section}` },
  }))
  return `# ${GENERATED}\n${stringify({ groups: [{ name: 'tidemark', rules }] }, { lineWidth: 0 })}`
}
