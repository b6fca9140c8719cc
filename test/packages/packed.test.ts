import { execFile } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BUNDLERS } from './bundlers.ts'
import { type PackedPackages, packPackages } from './packed.ts'

const run = promisify(execFile)

const PROGRAM = `
import { createDaemon } from '@tidemark/core'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { postgresCheckpointsSql } from '@tidemark/pg-adapter'
import { esdbCheckpoints } from '@tidemark/esdb-adapter'

export async function project(options) {
  const source = inMemoryEvents()
  const handled = []
  const handle = (events) => { for (const { data } of events) handled.push(data) }
  const daemon = createDaemon({ source, checkpoints: inMemoryCheckpoints(), projections: [{ name: 'all', handle }], ...options })
  await daemon.start()
  source.append('Opened', 41)
  source.append('Opened', 42)
  await daemon.waitUntilProjected()
  await daemon.stop()
  return { handled, sql: postgresCheckpointsSql().includes('checkpoints'), hasFilter: typeof esdbCheckpoints === 'function' }
}
`

const WITHOUT_PEERS = `${PROGRAM}
project({}).then((result) => console.log(JSON.stringify(result)))
`

/** Counts the spans through the API of the bundle, and reads what prom-client would serve. */
const WITH_PEERS = `${PROGRAM}
import { trace, INVALID_SPAN_CONTEXT } from '@opentelemetry/api'
import { register } from 'prom-client'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'

const spans = []
const tracer = { startSpan: (name) => { spans.push(name); return trace.wrapSpanContext(INVALID_SPAN_CONTEXT) } }
trace.setGlobalTracerProvider({ getTracer: () => tracer })
project({ metrics: promClientMetrics() }).then(async (result) => {
  const processed = /processed_events\\{projection_name="all"\\} (\\d+)/.exec(await register.metrics())?.[1]
  console.log(JSON.stringify({ ...result, spans: new Set(spans).size, processed, otel: typeof openTelemetryMetrics().open }))
})
`

let packages: PackedPackages
let bare: string
let full: string
beforeAll(async () => {
  packages = await packPackages()
  bare = await packages.application([])
  full = await packages.application(['@opentelemetry/api', 'prom-client'])
}, 300_000)
afterAll(() => packages.dispose())

async function built(bundler: string, application: string, program: string): Promise<unknown> {
  const entry = join(application, `${bundler}.mjs`)
  await writeFile(entry, program)
  // Beside no node_modules: the bundle has to have everything in it.
  const file = await BUNDLERS[bundler]?.(entry, await mkdtemp(join(application, '..', `${bundler}-`)))
  const { stdout, stderr } = await run(process.execPath, [file ?? entry])
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

const projected = { handled: [41, 42], sql: true, hasFilter: true }

describe.each(Object.keys(BUNDLERS))('an application bundled with %s from the packed packages', (bundler) => {
  test('runs without the optional peers', async () => {
    expect(await built(bundler, bare, WITHOUT_PEERS)).toEqual(projected)
  })

  test('has metrics and traces with them', async () => {
    expect(await built(bundler, full, WITH_PEERS)).toEqual({
      ...projected,
      spans: 1,
      processed: '2',
      otel: 'function',
    })
  })
})

test.each([
  ['alerts.yaml', 'monitoring/alerts.yaml'],
  ['dashboard.json', 'monitoring/dashboard.json'],
  ['runbook.md', 'docs/runbook.md'],
])('the packed core has monitoring/%s, which is %s of this repository', async (packed, original) => {
  const installed = join(bare, 'node_modules/@tidemark/core/monitoring', packed)
  expect(await readFile(installed, 'utf8')).toBe(
    await readFile(new URL(`../../${original}`, import.meta.url), 'utf8'),
  )
})

test('a program in CommonJS requires the packed packages, without a warning', async () => {
  const program = join(bare, 'program.cjs')
  await writeFile(
    program,
    `const { createDaemon } = require('@tidemark/core')
    const { settle } = require('@tidemark/core/adapter')
    const { inMemoryEvents } = require('@tidemark/core/testing')
    const { postgresEvents } = require('@tidemark/pg-adapter')
    const { esdbEvents } = require('@tidemark/esdb-adapter')
    console.log([createDaemon, settle, inMemoryEvents, postgresEvents, esdbEvents].map((f) => typeof f).join())`,
  )
  const { stdout, stderr } = await run(process.execPath, [program])
  expect({ stdout, stderr }).toEqual({ stdout: 'function,function,function,function,function\n', stderr: '' })
})

test('the packed terminal program runs, and says what it was told wrong', async () => {
  const manifest = JSON.parse(await readFile(join(bare, 'node_modules/@tidemark/cli/package.json'), 'utf8'))
  const program = join(bare, 'node_modules/@tidemark/cli', manifest.bin.tidemark)
  expect((await readFile(program, 'utf8')).split('\n')[0]).toBe('#!/usr/bin/env node')
  const { stdout, stderr } = await run(process.execPath, [program, 'migrations', 'print'])
  expect({ stdout, stderr }).toEqual({ stdout: `${await printedSql()}\n`, stderr: '' })
  const wrong: unknown = await run(process.execPath, [program, 'status'], { env: {}, cwd: bare }).catch(
    (error: unknown) => error,
  )
  expect(wrong).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('Which database is meant was not said.'),
  })
})

async function printedSql(): Promise<string> {
  const program = join(bare, 'sql.mjs')
  await writeFile(
    program,
    `import { postgresCheckpointsSql } from '@tidemark/pg-adapter'; process.stdout.write(postgresCheckpointsSql())`,
  )
  return (await run(process.execPath, [program])).stdout
}
