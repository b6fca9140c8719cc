import { stringify } from 'yaml'
import type { Alert } from './alerts.ts'
import { GENERATED } from './generated.ts'
import { type RunbookAddress, runbookAnnotation } from './runbook.ts'

/** The rules as Prometheus reads them. */
export function rulesFile(alerts: readonly Alert[], runbook: RunbookAddress): string {
  const rules = alerts.map(({ name, section, severity, for: duration, summary, description, expr }) => ({
    alert: name,
    expr: `${expr}\n`,
    for: duration,
    labels: { severity },
    annotations: { summary, description, ...runbookAnnotation(runbook, section) },
  }))
  return `# ${GENERATED}\n${stringify({ groups: [{ name: 'tidemark', rules }] }, { lineWidth: 0 })}`
}
