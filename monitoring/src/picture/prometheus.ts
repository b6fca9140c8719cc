import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@tidemark-internal/embedded-postgres'
import { stringify } from 'yaml'

export type Labels = Readonly<Record<string, string>>

interface Sample {
  readonly metric: Labels
  readonly value: number
}

/** Unix seconds and value. */
export type Point = readonly [seconds: number, value: number]

interface Series {
  readonly metric: Labels
  readonly points: readonly Point[]
}

/** Unix seconds. */
export interface TimeRange {
  readonly start: number
  readonly end: number
}

export interface Prometheus {
  /** Where its HTTP API is. */
  readonly url: string
  /** `at`: now, where it is not said. */
  query(expression: string, at?: number): Promise<readonly Sample[]>
  queryRange(expression: string, range: TimeRange): Promise<readonly Series[]>
  stop(): Promise<void>
}

export interface PrometheusOptions {
  /** The ports of this machine that are scraped, by job. */
  readonly ports: Readonly<Record<string, number>>
  readonly ruleFiles?: readonly string[]
}

const HOST = '127.0.0.1'
const INTERVAL_SECONDS = 1
const READY_WITHIN_MS = 20_000

/** A server of its own, with its data in a temporary folder. It scrapes and evaluates once a second. */
export async function startPrometheus({ ports, ruleFiles = [] }: PrometheusOptions): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-prometheus-'))
  const interval = `${INTERVAL_SECONDS}s`
  const config = {
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    rule_files: ruleFiles,
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
  const url = `http://${HOST}:${port}`
  for (const deadline = Date.now() + READY_WITHIN_MS; ; ) {
    const ready = await fetch(`${url}/-/ready`).catch(() => undefined)
    if (ready?.ok) break
    if (!isRunning() || Date.now() > deadline) {
      await stop()
      throw new Error('Prometheus did not start', { cause: failure })
    }
    await sleep(50)
  }
  return {
    url,
    query: (expression, at) => query(url, expression, at),
    queryRange: (expression, range) => queryRange(url, expression, range),
    stop,
  }
}

async function query(url: string, expression: string, at: number | undefined): Promise<readonly Sample[]> {
  const time: Record<string, string> = at === undefined ? {} : { time: String(at) }
  const result = await ask<{ readonly metric: Labels; readonly value: [number, string] }>(
    `${url}/api/v1/query`,
    { query: expression, ...time },
  )
  return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
}

async function queryRange(
  url: string,
  expression: string,
  { start, end }: TimeRange,
): Promise<readonly Series[]> {
  const result = await ask<{ readonly metric: Labels; readonly values: readonly [number, string][] }>(
    `${url}/api/v1/query_range`,
    { query: expression, start: String(start), end: String(end), step: String(INTERVAL_SECONDS) },
  )
  return result.map(({ metric, values }) => ({
    metric,
    points: values.map(([seconds, value]) => [seconds, Number(value)]),
  }))
}

interface Answer<T> {
  readonly error?: string
  readonly data?: { readonly result: readonly T[] }
}

async function ask<T>(url: string, parameters: Record<string, string>): Promise<readonly T[]> {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(parameters) })
  const { data, error } = (await response.json()) as Answer<T>
  if (!data) throw new Error(`${error}: ${parameters.query}`)
  return data.result
}
