/** One option of a public function, as its docstring has it. */
export interface Option {
  readonly name: string
  readonly isRequired: boolean
  /** What it takes: `number`, `boolean`, `string`, or another word for its type. */
  readonly kind: string
  /** Of a number: its tag `@unit`, or what the end of its name says. */
  readonly unit: string | undefined
  /** Its tag `@default`. */
  readonly default: string | undefined
  readonly paragraphs: readonly string[]
  /** Lines that begin with `- `, without it. */
  readonly points: readonly string[]
  /** Where it is declared: an option that several functions have is described once. */
  readonly declaredAt: string
}

export interface OptionsOfFunction {
  /** What it is imported from. */
  readonly from: string
  /** `createDaemon`, or `Daemon.waitUntilProjected`. */
  readonly name: string
  readonly options: readonly Option[]
}

export const RAISING = 'Raising it: '
export const LOWERING = 'Lowering it: '
export const CHANGE_WHEN = 'Change it when: '

/** What its docstring lacks. */
export function faultsOf({ name, isRequired, kind, unit, paragraphs, points, ...option }: Option): string[] {
  const has = (start: string): boolean => points.some((point) => point.startsWith(start))
  const faults: string[] = []
  const need = (isThere: boolean, what: string): void => {
    if (!isThere) faults.push(`${name} (${option.declaredAt}) says no ${what}`)
  }
  need(paragraphs.length > 0, 'word of what it is')
  if (kind === 'number') need(unit !== undefined, 'unit: end its name in Ms, or add @unit')
  if (isRequired) return faults
  need(option.default !== undefined, '@default')
  need(has(CHANGE_WHEN), `"- ${CHANGE_WHEN}..."`)
  if (kind === 'number') {
    need(has(RAISING), `"- ${RAISING}..."`)
    need(has(LOWERING), `"- ${LOWERING}..."`)
  }
  if (kind === 'boolean' || kind === 'choice') need(has('`'), 'choice and what it costs: "- `true`: ..."')
  return faults
}
