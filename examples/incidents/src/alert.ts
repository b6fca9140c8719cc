export interface Alert {
  readonly name: string
  readonly severity: 'critical' | 'warning'
  readonly labels: Readonly<Record<string, string>>
  readonly summary: string
  /** Of docs/runbook.md. */
  readonly section: string
}

/** As Alertmanager shows it. */
export function firing({ name, severity, labels, summary, section }: Alert): readonly string[] {
  const pairs = Object.entries({ job: 'shop', ...labels, severity }).map(
    ([key, value]) => `${key}="${value}"`,
  )
  return [`[FIRING:1] ${name} (${pairs.join(' ')})`, summary, `runbook: docs/runbook.md#${section}`]
}
