import type { Query } from './panel-queries.ts'

export interface Row {
  readonly title: string
  /** Closed until somebody opens it. */
  readonly isCollapsed?: boolean
  readonly panels: readonly Panel[]
}

export interface Panel {
  readonly title: string
  /** What it says where it has nothing to show: why that is. */
  readonly whenEmpty?: string
  readonly description: string
  /** Of the 24 columns. */
  readonly width: number
  readonly view: View
  readonly queries: readonly Query[]
}

export type View =
  | { readonly kind: 'graph'; readonly unit: string; readonly style?: 'bars' | 'steps' }
  /** One number a series; `bad` is where it turns red. */
  | {
      readonly kind: 'number'
      readonly unit: string
      readonly bad?: number
      readonly texts?: Readonly<Record<number, string>>
    }
  /** A band a series, coloured by state. */
  | { readonly kind: 'states'; readonly texts: Readonly<Record<number, string>> }
  /** Once for each projection; series whose legend begins with `onRight` have an axis of their own. */
  | { readonly kind: 'relation'; readonly unit: string; readonly onRight: string }
  | { readonly kind: 'text'; readonly markdown: (toRunbook: (section: string) => string) => string }
