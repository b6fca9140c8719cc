/** Positions of a dense order: the ends of `bigint` columns, and neighbours that a double cannot tell apart. */
export const DENSE_SAMPLES: readonly bigint[] = [
  -(2n ** 63n),
  -1n,
  0n,
  1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 2n,
  2n ** 63n - 1n,
]
