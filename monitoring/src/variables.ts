import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common'
import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { GaugeName } from './names.ts'

export const DATA_SOURCE: DataSourceRef = { type: 'prometheus', uid: `\${datasource}` }

/** Every process exports one of these from its start, so the choices are read off them. */
const OF_STORE: GaugeName = 'high_water_mark_stale'
const OF_PROJECTION: GaugeName = 'projection_state'
const EITHER = `(${OF_STORE}|${OF_PROJECTION})`

export const VARIABLES: readonly Builder<VariableModel>[] = [
  new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
  query('prefix', 'Prefix', `metrics(${EITHER}$)`)
    .regex(`/^(.+?)${EITHER}$/`)
    .current({ text: 'martend_async_daemon_', value: 'martend_async_daemon_' }),
  query('job', 'Job', `label_values({__name__=~"\${prefix}${EITHER}"}, job)`)
    .multi(true)
    .includeAll(true)
    .allValue('.*'),
  query('projection', 'Projection', `label_values(\${prefix}${OF_PROJECTION}{job=~"$job"}, projection_name)`)
    .multi(true)
    .includeAll(true),
]

function query(name: string, label: string, definition: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATA_SOURCE)
    .query({ query: definition, refId: name })
    .definition(definition)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
}
