import { dashboard } from '../../monitoring/src/dashboard.ts'
import { ROWS } from '../../monitoring/src/panels.ts'

interface DashboardPanel {
  readonly title?: string
  readonly type?: string
  readonly targets?: readonly { readonly expr: string }[]
  readonly options?: { readonly legend?: unknown }
  readonly fieldConfig?: { readonly defaults: { readonly noValue?: string } }
}

interface DashboardRow extends DashboardPanel {
  readonly collapsed?: boolean
  /** Those of a collapsed row; Grafana has the others beside the row. */
  readonly panels?: readonly DashboardPanel[]
}

/** From the JSON that Grafana gets, so that what the description says and the builder drops is missed here. */
const { panels: topLevel } = JSON.parse(JSON.stringify(dashboard(ROWS, undefined))) as {
  readonly panels: readonly DashboardRow[]
}

export const rows: readonly DashboardRow[] = topLevel.filter(({ type }) => type === 'row')

/** All that are no rows, in the order of the dashboard. */
export const panels: readonly (DashboardPanel & { readonly isCollapsed: boolean })[] = topLevel.flatMap(
  (panel) =>
    panel.type === 'row'
      ? (panel.panels ?? []).map((inside) => ({ ...inside, isCollapsed: panel.collapsed === true }))
      : [{ ...panel, isCollapsed: false }],
)
