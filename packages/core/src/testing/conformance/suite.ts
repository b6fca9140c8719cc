import { InvalidOptionError } from '../../kernel/errors.ts'
import { requireAbove0 } from '../../kernel/validation.ts'
import { within, withPatience } from './expectations.ts'

/** One promise of a port, to be handed to any test runner. */
export interface ConformanceCase {
  /** The promise, as a sentence. */
  readonly name: string
  /** Makes a fresh store, tries it and closes it. Rejects with an Error that says what was found and expected. */
  readonly run: () => Promise<void>
}

/** A case that does not run, since the store lacks a capability. */
export interface LeftOutCase<C extends string> {
  readonly name: string
  /** The capability that would bring it in. */
  readonly needs: C
}

/** What a suite came to for the capabilities that were named. */
export interface ConformanceSuite<C extends string> {
  readonly cases: readonly ConformanceCase[]
  /** What was not asked for: to be shown as skipped, so that nobody takes it for tested. */
  readonly leftOut: readonly LeftOutCase<C>[]
}

/** Of `eventSourceConformance` and `checkpointStoreConformance`. */
export interface ConformanceOptions<F, C extends string> {
  /** A fresh, empty store. Called once for each case. */
  readonly make: () => Promise<F>
  /** What the store can do besides the port's base. Cases that need something else are left out, and listed. */
  readonly capabilities: readonly C[]
  /**
   * How long a case waits for what should come at once, before it says what did not come. Cases that pass never wait for it.
   * - Raising it: a case that fails takes longer; above the limit of your test runner it fails without saying why.
   * - Lowering it: on a busy machine a good store fails.
   * - Change it when: your store takes longer, or your test runner's limit is lower.
   * @default 20000
   */
  readonly patienceMs?: number
}

/** Passing cases never wait for it. */
const DEFAULT_PATIENCE_MS = 20_000

export interface Rule<F, C extends string> {
  readonly name: string
  readonly needs?: C
  check(fixture: F, capabilities: readonly C[]): Promise<void>
}

export interface Closable {
  /** Called at the end of each case, failed or not. */
  readonly close?: () => Promise<void>
}

export function conformanceSuite<F extends Closable, C extends string>(
  rules: readonly Rule<F, C>[],
  known: readonly C[],
  { make, capabilities, patienceMs = DEFAULT_PATIENCE_MS }: ConformanceOptions<F, C>,
): ConformanceSuite<C> {
  requireAbove0('patienceMs', patienceMs)
  if (typeof make !== 'function') throw new InvalidOptionError('make', 'a function', make)
  for (const capability of capabilities) {
    if (!known.includes(capability)) {
      throw new InvalidOptionError('capabilities', `some of ${known.join(', ')}`, capability)
    }
  }
  return {
    cases: rules
      .filter(({ needs }) => needs === undefined || capabilities.includes(needs))
      .map((rule) => ({
        name: rule.name,
        run: () => withPatience(patienceMs, () => runOver(make, rule, capabilities)),
      })),
    leftOut: rules.flatMap(({ name, needs }) =>
      needs === undefined || capabilities.includes(needs) ? [] : [{ name, needs }],
    ),
  }
}

async function runOver<F extends Closable, C extends string>(
  make: () => Promise<F>,
  rule: Rule<F, C>,
  capabilities: readonly C[],
): Promise<void> {
  const fixture = await within(make(), 'make()')
  const close = async (): Promise<void> => {
    if (fixture.close) await within(fixture.close(), 'close()')
  }
  try {
    await rule.check(fixture, capabilities)
  } catch (error) {
    // What broke the rule tells more than what it broke.
    await close().catch(() => {})
    throw error
  }
  await close()
}

/** What a capability needs the fixture to have. */
export function needed<T>(part: T | undefined, name: string, capability: string): T {
  if (part === undefined) {
    throw new InvalidOptionError(name, `a function, since the capability '${capability}' needs it`, part)
  }
  return part
}
