import type { Labels, Point, Prometheus, TimeRange } from './prometheus.ts'

/** The part of the dashboard's JSON that a picture shows. */
interface PanelJson {
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: string
      readonly noValue?: string
      readonly thresholds?: { readonly steps: readonly Threshold[] }
      readonly mappings?: readonly { readonly options: Readonly<Record<string, Shown>> }[]
    }
  }
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
}

interface DashboardJson {
  readonly panels: readonly {
    readonly type: string
    readonly title?: string
    readonly panels?: readonly PanelJson[]
  }[]
}

/** From this value on. */
interface Threshold {
  readonly value: number | null
  readonly color: string
}

interface Shown {
  readonly text: string
  readonly color?: string
}

export interface Line {
  readonly legend: string
  readonly points: readonly Point[]
}

export interface Panel {
  readonly title: string
  readonly kind: 'number' | 'graph'
  readonly unit: string
  readonly grid: PanelJson['gridPos']
  readonly whenEmpty: string
  readonly thresholds: readonly Threshold[]
  /** What is shown instead of a number. */
  readonly texts: Readonly<Record<string, Shown>>
  readonly queries: readonly { readonly expr: string; readonly legend: string }[]
}

export interface FilledPanel extends Panel {
  readonly lines: readonly Line[]
}

const KINDS: Readonly<Record<string, Panel['kind']>> = { stat: 'number', timeseries: 'graph' }

/** The panels of a collapsed row. Throws where there is no such row, or a panel of another kind. */
export function panelsOf(dashboard: unknown, row: string): readonly Panel[] {
  const found = (dashboard as DashboardJson).panels.find(({ type, title }) => type === 'row' && title === row)
  if (found?.panels === undefined) throw new Error(`the dashboard has no collapsed row "${row}"`)
  return found.panels.map(({ type, title, gridPos, fieldConfig, targets }) => {
    const kind = KINDS[type]
    if (kind === undefined) throw new Error(`the panel "${title}" is a ${type}, which is not drawn yet`)
    const { unit, noValue = 'No data', thresholds, mappings } = fieldConfig.defaults
    return {
      title,
      kind,
      unit,
      grid: gridPos,
      whenEmpty: noValue,
      thresholds: thresholds?.steps ?? [],
      texts: mappings?.[0]?.options ?? {},
      queries: targets.map(({ expr, legendFormat }) => ({ expr, legend: legendFormat })),
    }
  })
}

/** Asks what the panel asks, of a number as at the end of the range. */
export async function fill(
  panel: Panel,
  prometheus: Pick<Prometheus, 'query' | 'queryRange'>,
  range: TimeRange,
): Promise<FilledPanel> {
  const lines = await Promise.all(
    panel.queries.map(async ({ expr, legend }): Promise<readonly Line[]> => {
      const query = expand(expr, range)
      if (panel.kind === 'graph') {
        const series = await prometheus.queryRange(query, range)
        return series.map(({ metric, points }) => ({ legend: named(legend, metric), points }))
      }
      const samples = await prometheus.query(query, range.end)
      return samples.map(({ metric, value }) => ({
        legend: named(legend, metric),
        points: [[range.end, value]],
      }))
    }),
  )
  return { ...panel, lines: lines.flat().sort((a, b) => (a.legend < b.legend ? -1 : 1)) }
}

/** As Grafana fills in what is chosen at the top of the dashboard. */
function expand(expr: string, { start, end }: TimeRange): string {
  const variables: Readonly<Record<string, string>> = {
    '${prefix}': 'martend_async_daemon_',
    $__range: `${Math.ceil(end - start)}s`,
    $job: '.*',
  }
  const expanded = Object.entries(variables).reduce(
    (text, [name, value]) => text.replaceAll(name, value),
    expr,
  )
  if (expanded.includes('$')) throw new Error(`an unknown variable in ${expanded}`)
  return expanded
}

function named(legend: string, labels: Labels): string {
  return legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '')
}
