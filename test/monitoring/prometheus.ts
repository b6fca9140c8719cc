import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@tidemark-internal/embedded-postgres'
import { stringify } from 'yaml'

export const isPrometheusInstalled: boolean = spawnSync('prometheus', ['--version']).error === undefined

interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

export interface Prometheus {
  query(expression: string): Promise<readonly Sample[]>
  stop(): Promise<void>
}

const HOST = '127.0.0.1'

/** A server of its own that scrapes these ports, by job, and evaluates these rules. */
export async function startPrometheus(
  ports: Readonly<Record<string, number>>,
  rules: string,
): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-prometheus-'))
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
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
  return { query: (expression) => query(at, expression), stop }
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
