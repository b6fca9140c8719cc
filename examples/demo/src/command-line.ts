import { parseArgs } from 'node:util'

/** The command line cannot be followed; the message is for its user. */
export class UsageError extends Error {}

export const EXIT = { passed: 0, failed: 1, usage: 2, interrupted: 130 } as const

type Values<T extends string, F extends string> = Readonly<
  Partial<Record<T, string> & Record<F | 'help', boolean>>
>

/** Options with a value, and those without one. Throws a {@link UsageError}. */
export function parseCommandLine<T extends string, F extends string>(
  args: readonly string[],
  { values, flags }: { readonly values: readonly T[]; readonly flags: readonly F[] },
): Values<T, F> {
  try {
    return parseArgs({
      // `pnpm demo -- --json` hands the dashes on.
      args: args[0] === '--' ? args.slice(1) : [...args],
      options: {
        ...Object.fromEntries(values.map((name) => [name, { type: 'string' } as const])),
        ...Object.fromEntries(flags.map((name) => [name, { type: 'boolean' } as const])),
        help: { type: 'boolean', short: 'h' },
      },
    }).values as Values<T, F>
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

/** Throws a {@link UsageError}. */
export function numberOf(
  option: string,
  text: string | undefined,
  otherwise: number,
  [least, most]: readonly [number, number],
): number {
  if (text === undefined) return otherwise
  const number = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN
  if (number >= least && number <= most) return number
  throw new UsageError(
    `${option}: expected a whole number from ${least} to ${most}, found ${JSON.stringify(text)}`,
  )
}

/** The options, or the exit status of a command line that asks for no run. */
export function readOptions<T extends object>(
  args: readonly string[],
  parse: (args: readonly string[]) => T | 'help',
  { help, script }: { readonly help: string; readonly script: string },
): T | number {
  try {
    const options = parse(args)
    if (options !== 'help') return options
    process.stdout.write(help)
    return EXIT.passed
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\nSee: pnpm ${script} --help\n`)
    return EXIT.usage
  }
}

/** An error with a code is one of the server, the network or the library, and says it all. */
export function explain(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(explain).join('; ')
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? error.message : String(error.stack)
}
