import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { ROWS } from '../../monitoring/src/panels.ts'
import { expand } from './promql.ts'

const monitoring = fileURLToPath(new URL('../../monitoring/', import.meta.url))
const isInstalled = spawnSync('promtool', ['--version']).error === undefined
/** CI installs it, and fails where it did not. */
const isSkipped = !isInstalled && process.env.CI !== 'true'
const because = isSkipped ? ' (skipped: promtool is not installed, see CONTRIBUTING.md)' : ''

function promtool(...args: readonly string[]): void {
  const { error, status, stdout, stderr } = spawnSync('promtool', args, { cwd: monitoring, encoding: 'utf8' })
  if (error) throw error
  expect(status, stdout + stderr).toBe(0)
}

test.skipIf(isSkipped)(`the alert rules are valid${because}`, () => {
  promtool('check', 'rules', 'alerts.yaml')
})

test.skipIf(isSkipped)(`the alert rules fire when they should, and not otherwise${because}`, () => {
  promtool('test', 'rules', 'alerts.test.yaml')
})

// As recording rules, which promtool checks the types of.
test.skipIf(isSkipped)(`every query of the dashboard is well-typed${because}`, async () => {
  const queries = ROWS.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries))
  const rules = queries.map(({ expr }, i) => ({ record: `panel_${i}`, expr: expand(expr) }))
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-promtool-'))
  try {
    await writeFile(join(folder, 'panels.yaml'), stringify({ groups: [{ name: 'panels', rules }] }))
    promtool('check', 'rules', join(folder, 'panels.yaml'))
  } finally {
    await rm(folder, { recursive: true })
  }
})
