/** A number in [0, 1). Pure functions are given one, so that tests own it. */
export type Random = () => number

export const systemRandom: Random = () => Math.random()
