import { test } from 'vitest'
import { seedOf } from '../seed.ts'
import { chaosOfNodes } from './run.ts'

const MINUTES = Number(process.env.TIDEMARK_CHAOS_MINUTES ?? 2)

test('four nodes under a fault a second lose nothing, repeat nothing and keep the order of keys', async () => {
  const seed = seedOf(`chaos of nodes for ${MINUTES} minutes`)
  console.info(`pnpm test:chaos --minutes ${MINUTES} --seed ${seed} makes the same faults`)
  await chaosOfNodes(seed, MINUTES * 60_000)
})
