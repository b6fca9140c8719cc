import type { ConformanceSuite } from '@tidemark/core/testing'
import { describe, test } from 'vitest'

/** One suite as tests of this file; what was left out shows as skipped. */
export function register<C extends string>(name: string, { cases, leftOut }: ConformanceSuite<C>): void {
  describe(name, () => {
    for (const { name, run } of cases) test(name, run)
    for (const { name, needs } of leftOut) test.skip(`${name} (${needs})`, () => {})
  })
}
