/** How a list is shown. */
export interface ListFormat {
  /** How many were asked for: where there are as many, there may be more. */
  readonly limit: number
  readonly nowMs: number
  /** Of the terminal; `undefined`: it is none. */
  readonly columns: number | undefined
}

export const LONGEST_CELL = 60
