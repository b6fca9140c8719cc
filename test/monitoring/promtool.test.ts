import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'vitest'
import { stringify } from 'yaml'
import { ROWS } from '../../monitoring/src/panels.ts'
import { expand } from './promql.ts'

const monitoring = fileURLToPath(new URL('../../monitoring/', import.meta.url))
const isInstalled = spawnSync('promtool', ['--version']).error === undefined
/** CI installs it, and fails where it did not. */
const isSkipped = !isInstalled && process.env.CI !== 'true'
const because = isSkipped ? ' (skipped: promtool is not installed, see CONTRIBUTING.md)' : ''

const run = promisify(execFile)
/** Seven seconds of work; a busy machine may take minutes for that. */
const PATIENCE = { timeout: 600_000 }

/** Rejects with what it says where it finds a fault. */
async function promtool(...args: readonly string[]): Promise<void> {
  await run('promtool', args, { cwd: monitoring })
}

test.skipIf(isSkipped)(`the alert rules are valid${because}`, PATIENCE, async () => {
  await promtool('check', 'rules', 'alerts.yaml')
})

test.skipIf(isSkipped)(
  `the alert rules fire when they should, and not otherwise${because}`,
  PATIENCE,
  async () => {
    await promtool('test', 'rules', 'alerts.test.yaml')
  },
)

// As recording rules, which promtool checks the types of.
test.skipIf(isSkipped)(`every query of the dashboard is well-typed${because}`, PATIENCE, async () => {
  const queries = ROWS.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries))
  const rules = queries.map(({ expr }, i) => ({ record: `panel_${i}`, expr: expand(expr) }))
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-promtool-'))
  try {
    await writeFile(join(folder, 'panels.yaml'), stringify({ groups: [{ name: 'panels', rules }] }))
    await promtool('check', 'rules', join(folder, 'panels.yaml'))
  } finally {
    await rm(folder, { recursive: true })
  }
})
