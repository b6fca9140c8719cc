import type { Reporter, TestModule } from 'vitest/node'

interface Counts {
  passed: number
  failed: number
  skipped: number
  pending: number
}

/**
 * Closes a run with its counts, of each project and then of all alone on a line. A file that could not be loaded counts as
 * one failure.
 */
export default class PlainReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const byProject = new Map<string, Counts>()
    const total: Counts = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      const counts = byProject.get(module.project.name) ?? { passed: 0, failed: 0, skipped: 0, pending: 0 }
      byProject.set(module.project.name, counts)
      for (const sum of [counts, total]) {
        if (module.errors().length > 0) sum.failed++
        for (const test of module.children.allTests()) sum[test.result().state]++
      }
    }
    const lines = [...byProject].map(([project, counts]) => `${project}: ${line(counts)}`).sort()
    // After the closing lines of the default reporter.
    process.once('exit', () => process.stdout.write([...lines, line(total), ''].join('\n')))
  }
}

function line({ passed, failed, skipped, pending }: Counts): string {
  const left = skipped + pending
  return `${passed} passed, ${failed} failed${left > 0 ? `, ${left} skipped` : ''}`
}
