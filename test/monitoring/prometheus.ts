import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '@tidemark-internal/embedded-postgres'
import { stringify } from 'yaml'

const isInstalled = spawnSync('prometheus', ['--version']).error === undefined

/** Whether tests that need it are skipped, and what their name then says. CI installs it, and fails where it did not. */
export const isSkipped: boolean = !isInstalled && process.env.CI !== 'true'
export const because: string = isSkipped ? ' (skipped: prometheus is not installed, see CONTRIBUTING.md)' : ''

/** The alert rules of this repository. */
const ALERT_RULES: string = fileURLToPath(new URL('../../monitoring/alerts.yaml', import.meta.url))

interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

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

export interface Prometheus {
  query(expression: string): Promise<readonly Sample[]>
  rule(name: string): Promise<Rule>
  stop(): Promise<void>
}

const HOST = '127.0.0.1'

/** A server of its own that scrapes these ports, by job, and evaluates the alert rules. */
export async function startPrometheus(ports: Readonly<Record<string, number>>): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-prometheus-'))
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [ALERT_RULES],
    scrape_configs: Object.entries(ports).map(([job, port]) => ({
      job_name: job,
      static_configs: [{ targets: [`${HOST}:${port}`] }],
    })),
  }
  await writeFile(join(folder, 'prometheus.yaml'), stringify(config))
  const port = await freePort(HOST)
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${HOST}:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  let failure: Error | undefined
  child.once('error', (error) => {
    failure = error
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  const isRunning = (): boolean =>
    failure === undefined && child.exitCode === null && child.signalCode === null

  const stop = async (): Promise<void> => {
    process.removeListener('exit', kill)
    if (isRunning() && child.pid !== undefined) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await rm(folder, { recursive: true, force: true })
  }
  const at = `http://${HOST}:${port}`
  for (const deadline = Date.now() + 20_000; ; ) {
    const ready = await fetch(`${at}/-/ready`).catch(() => undefined)
    if (ready?.ok) break
    if (!isRunning() || Date.now() > deadline) {
      await stop()
      throw new Error('Prometheus did not start', { cause: failure })
    }
    await sleep(50)
  }
  return { query: (expression) => query(at, expression), rule: (name) => rule(at, name), stop }
}

interface Answer {
  readonly error?: string
  readonly data?: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>
      readonly value: [number, string]
    }[]
  }
}

async function query(at: string, expression: string): Promise<readonly Sample[]> {
  const response = await fetch(`${at}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query: expression }),
  })
  const { data, error } = (await response.json()) as Answer
  if (!data) throw new Error(`${error}: ${expression}`)
  return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
}

interface RulesAnswer {
  readonly data: { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
}

async function rule(at: string, name: string): Promise<Rule> {
  const response = await fetch(`${at}/api/v1/rules?type=alert`)
  const { data } = (await response.json()) as RulesAnswer
  const found = data.groups.flatMap(({ rules }) => rules).find((candidate) => candidate.name === name)
  if (!found) throw new Error(`no rule ${name}`)
  return found
}
