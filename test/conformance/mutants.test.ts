import {
  CHECKPOINT_STORE_CAPABILITIES,
  type CheckpointStoreCapability,
  type CheckpointStoreFixture,
  type ConformanceOptions,
  type ConformanceSuite,
  checkpointStoreConformance,
  EVENT_SOURCE_CAPABILITIES,
  type EventSourceCapability,
  eventSourceConformance,
} from '@tidemark/core/testing'
import { describe, expect, test } from 'vitest'
import { CHECKPOINT_MUTANTS } from './checkpoint-mutants.ts'
import type { Mutant } from './mutant.ts'
import { register } from './register.ts'
import { SOURCE_MUTANTS } from './source-mutants.ts'
import { type WholeStore, type Writes, wholeCheckpoints, wholeStore } from './whole-store.ts'

const SHORT_PATIENCE_MS = 500

type Suite<F, C extends string> = (
  options: Pick<ConformanceOptions<F, C>, 'make' | 'patienceMs'>,
) => ConformanceSuite<C>

const sources: Suite<WholeStore, EventSourceCapability> = (options) =>
  eventSourceConformance({ ...options, capabilities: EVENT_SOURCE_CAPABILITIES })
const checkpoints: Suite<CheckpointStoreFixture<Writes>, CheckpointStoreCapability> = (options) =>
  checkpointStoreConformance({ ...options, capabilities: CHECKPOINT_STORE_CAPABILITIES })

register('a source that can do everything', sources({ make: wholeStore }))
register('a checkpoint store that can do everything', checkpoints({ make: wholeCheckpoints }))

hunt('sources', sources, wholeStore, SOURCE_MUTANTS)
hunt('checkpoint stores', checkpoints, wholeCheckpoints, CHECKPOINT_MUTANTS)

/** Each broken store is found by the case that is there for it, and each case finds one. */
function hunt<F, C extends string>(
  of: string,
  suite: Suite<F, C>,
  make: () => Promise<F>,
  mutants: readonly Mutant<F>[],
): void {
  test(`every case finds one of the broken ${of}`, () => {
    const names = suite({ make }).cases.map(({ name }) => name)
    expect([...new Set(mutants.map(({ caughtBy }) => caughtBy))].sort()).toEqual(names.sort())
  })

  describe(`a case finds broken ${of}:`, () => {
    for (const { name, breaks, caughtBy, says, hangs } of mutants) {
      test(name, async () => {
        const { cases } = suite({
          make: async () => breaks(await make()),
          ...(hangs ? { patienceMs: SHORT_PATIENCE_MS } : {}),
        })
        const found = cases.find((candidate) => candidate.name === caughtBy)
        if (!found) throw new Error(`there is no case "${caughtBy}"`)
        await expect(found.run()).rejects.toThrow(says)
      })
    }
  })
}
