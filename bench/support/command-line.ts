import { parseArgs } from 'node:util'

/**
 * Numbers given as `--name value`, over their defaults; with `--quick` over those of a smoke run, whose figures mean
 * nothing. Prints them first, so that a figure is never without its parameters.
 */
export function readCommandLine<K extends string>(
  defaults: Readonly<Record<K, number>>,
  quick: Readonly<Partial<Record<K, number>>>,
): Readonly<Record<K, number>> {
  const names = Object.keys(defaults) as K[]
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean' },
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
  console.log(`parameters: ${names.map((name) => `--${name} ${chosen[name]}`).join(' ')}`)
  if (given.quick) console.log('--quick: a smoke run; its figures mean nothing')
  return chosen
}
