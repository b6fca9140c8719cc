import { parseArgs } from 'node:util'

/**
 * Numbers given as `--name value`, over their defaults; with `--quick` over those of a smoke run, whose figures mean
 * nothing. `flags` are given as `--name` alone. Prints them first, so that a figure is never without its parameters.
 */
export function readCommandLine<K extends string, F extends string = never>(
  defaults: Readonly<Record<K, number>>,
  quick: Readonly<Partial<Record<K, number>>>,
  flags: readonly F[] = [],
): Readonly<Record<K, number> & Record<F, boolean>> {
  const names = Object.keys(defaults) as K[]
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean' },
      ...Object.fromEntries(flags.map((flag) => [flag, { type: 'boolean' } as const])),
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' } as const])),
    },
  })
  const given = values as Readonly<Record<string, string | boolean | undefined>>
  const chosen: Record<K, number> = given.quick ? { ...defaults, ...quick } : { ...defaults }
  for (const name of names) {
    const text = given[name]
    if (text === undefined) continue
    const value = Number(text)
    if (!Number.isFinite(value) || value <= 0) throw new RangeError(`--${name} ${text}: a number above 0`)
    chosen[name] = value
  }
  const set = flags.filter((flag) => given[flag] === true)
  const shown = [...names.map((name) => `--${name} ${chosen[name]}`), ...set.map((flag) => `--${flag}`)]
  console.log(`parameters: ${shown.join(' ')}`)
  if (given.quick) console.log('--quick: a smoke run; its figures mean nothing')
  const isSet = Object.fromEntries(flags.map((flag) => [flag, set.includes(flag)])) as Record<F, boolean>
  return { ...chosen, ...isSet }
}
