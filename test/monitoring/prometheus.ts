import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import {
  type Prometheus as AnyPrometheus,
  startPrometheus as startAny,
} from '../../monitoring/src/picture/prometheus.ts'

const isInstalled = spawnSync('prometheus', ['--version']).error === undefined

/** Whether tests that need it are skipped, and what their name then says. CI installs it, and fails where it did not. */
export const isSkipped: boolean = !isInstalled && process.env.CI !== 'true'
export const because: string = isSkipped ? ' (skipped: prometheus is not installed, see CONTRIBUTING.md)' : ''

/** The alert rules of this repository. */
const ALERT_RULES: string = fileURLToPath(new URL('../../monitoring/alerts.yaml', import.meta.url))

/** An alerting rule as Prometheus sees it. */
interface Rule {
  readonly name: string
  /** `ok`, `unknown` before it was evaluated, `err`. */
  readonly health: string
  readonly lastEvaluation: string
  readonly alerts: readonly {
    readonly state: 'pending' | 'firing'
    readonly labels: Readonly<Record<string, string>>
  }[]
}

export interface Prometheus extends AnyPrometheus {
  rule(name: string): Promise<Rule>
}

/** A server of its own that scrapes these ports, by job, and evaluates the alert rules. */
export async function startPrometheus(ports: Readonly<Record<string, number>>): Promise<Prometheus> {
  const prometheus = await startAny({ ports, ruleFiles: [ALERT_RULES] })
  return { ...prometheus, rule: (name) => rule(prometheus.url, name) }
}

interface RulesAnswer {
  readonly data: { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
}

async function rule(url: string, name: string): Promise<Rule> {
  const response = await fetch(`${url}/api/v1/rules?type=alert`)
  const { data } = (await response.json()) as RulesAnswer
  const found = data.groups.flatMap(({ rules }) => rules).find((candidate) => candidate.name === name)
  if (!found) throw new Error(`no rule ${name}`)
  return found
}
