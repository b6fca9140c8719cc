import { Random } from '../core/model/random.ts'

/** The seed of this run, printed; `TIDEMARK_SEED=…` makes the same choices again. */
export function seeded(name: string): Random {
  return new Random(seedOf(name))
}

export function seedOf(name: string): number {
  const seed = Number(process.env.TIDEMARK_SEED ?? Math.floor(Math.random() * 2 ** 31))
  console.info(`${name}: seed ${seed} (TIDEMARK_SEED=${seed} makes the same choices)`)
  return seed
}

/** A stream of choices of its own, so that one actor's timing does not change another's choices. */
export function branch(random: Random): Random {
  return new Random(random.below(2 ** 31))
}
