import {
  AxisPlacement,
  BigValueColorMode,
  GraphDrawStyle,
  LineInterpolation,
  VizLegendOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  MappingType,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as StateTimelineBuilder } from '@grafana/grafana-foundation-sdk/statetimeline'
import { PanelBuilder as TextBuilder, TextMode } from '@grafana/grafana-foundation-sdk/text'
import { PanelBuilder as TimeSeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import { GENERATED } from './generated.ts'
import type { Panel, Row, View } from './panel.ts'
import { type RunbookAddress, runbookMarkdown } from './runbook.ts'
import { DATA_SOURCE, VARIABLES } from './variables.ts'

const PANEL_HEIGHT = 8
const NUMBER_HEIGHT = 5

type Texts = Readonly<Record<number, string>>
type AnyPanelBuilder = StatBuilder | StateTimelineBuilder | TextBuilder | TimeSeriesBuilder

export function dashboard(rows: readonly Row[], runbook: RunbookAddress): Dashboard {
  const builder = new DashboardBuilder('Tidemark')
    .uid('tidemark')
    .description(`Is anything lost, stuck, behind, slow? ${GENERATED}`)
    .tags(['tidemark', 'generated'])
    .time({ from: 'now-3h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    // One crosshair over all panels: what happened together is seen together.
    .tooltip(DashboardCursorSync.Crosshair)
    .variables([...VARIABLES])
  if (runbook !== undefined) {
    builder.link(
      new DashboardLinkBuilder('Runbook').type(DashboardLinkType.Link).url(runbook).targetBlank(true),
    )
  }
  for (const { title, panels, isCollapsed } of rows) {
    const row = new RowBuilder(title)
    // Grafana keeps the panels of a row inside it only while it is collapsed.
    if (isCollapsed) for (const panel of panels) row.withPanel(build(panel, runbook))
    builder.withRow(row)
    if (!isCollapsed) for (const panel of panels) builder.withPanel(build(panel, runbook))
  }
  return builder.build()
}

function build(panel: Panel, runbook: RunbookAddress): AnyPanelBuilder {
  const builder = viewOf(panel.view, runbook).title(panel.title).span(panel.width)
  if (panel.view.kind === 'number' || panel.view.kind === 'states') builder.height(NUMBER_HEIGHT)
  else builder.height(PANEL_HEIGHT)
  if (panel.description !== '') builder.description(panel.description)
  if (panel.whenEmpty !== undefined) builder.noValue(panel.whenEmpty)
  if (panel.queries.length > 0) builder.datasource(DATA_SOURCE)
  for (const [i, { expr, legend }] of panel.queries.entries()) {
    const query = new DataqueryBuilder()
      .refId(String.fromCharCode(65 + i))
      .expr(expr)
      .legendFormat(legend)
    // Exemplars lead from a slow batch to its trace.
    if (expr.includes('histogram_quantile')) query.exemplar(true)
    builder.withTarget(panel.view.kind === 'number' ? query.instant() : query.range())
  }
  return builder
}

function viewOf(view: View, runbook: RunbookAddress): AnyPanelBuilder {
  switch (view.kind) {
    case 'graph':
      return graph(view.unit, view.style)
    case 'number': {
      const number = new StatBuilder().unit(view.unit).colorMode(BigValueColorMode.Value)
      if (view.texts) number.mappings(mappings(view.texts))
      return number.thresholds(turnsRedAt(view.bad))
    }
    case 'states':
      return new StateTimelineBuilder().mappings(mappings(view.texts)).fillOpacity(80)
    case 'relation':
      return graph(view.unit)
        .repeat('projection')
        .repeatDirection('v')
        .overrideByRegexp(`/^${view.onRight}/`, [
          { id: 'unit', value: 'short' },
          { id: 'custom.drawStyle', value: GraphDrawStyle.Bars },
          { id: 'custom.axisPlacement', value: AxisPlacement.Right },
          { id: 'custom.fillOpacity', value: 60 },
          { id: 'color', value: { mode: 'fixed', fixedColor: 'red' } },
        ])
    case 'text':
      return new TextBuilder()
        .mode(TextMode.Markdown)
        .content(view.markdown((section) => runbookMarkdown(runbook, section)))
  }
}

function graph(unit: string, style?: 'bars' | 'steps'): TimeSeriesBuilder {
  // The builder hides it by default: nobody would see whose line it is.
  const legend = new VizLegendOptionsBuilder().showLegend(true)
  const builder = new TimeSeriesBuilder().unit(unit).min(0).legend(legend)
  if (style === 'bars') builder.drawStyle(GraphDrawStyle.Bars).fillOpacity(60)
  if (style === 'steps') builder.lineInterpolation(LineInterpolation.StepAfter)
  return builder
}

function turnsRedAt(bad: number | undefined): ThresholdsConfigBuilder {
  const red = bad === undefined ? [] : [{ value: bad, color: 'red' }]
  const steps = [{ value: null, color: bad === undefined ? 'text' : 'green' }, ...red]
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps)
}

const TEXT_COLORS: Readonly<Record<string, string>> = {
  moving: 'green',
  live: 'green',
  catching_up: 'blue',
  replaying: 'blue',
  standby: 'text',
  retrying: 'orange',
  paused: 'red',
  stopped: 'red',
  dropped: 'red',
  ended: 'text',
  stalled: 'red',
  delivering: 'green',
  stale: 'red',
  'in its log': 'green',
  'off its log': 'orange',
  'beyond its log': 'red',
}

function mappings(texts: Texts): ValueMapping[] {
  const options = Object.fromEntries(
    Object.entries(texts).map(([value, text], index) => {
      const color = TEXT_COLORS[text]
      return [value, { text, index, ...(color === undefined ? {} : { color }) }]
    }),
  )
  return [{ type: MappingType.ValueToText, options }]
}
