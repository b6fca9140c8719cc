import { COUNTERS, type CounterName } from './counters.ts'
import { GAUGES, type GaugeName } from './gauges.ts'
import { HISTOGRAMS, type HistogramName } from './histograms.ts'
import type { Instrument } from './instrument.ts'

export type InstrumentName = CounterName | GaugeName | HistogramName

/**
 * Every metric of Tidemark: the one list that both backends, the documentation, the dashboard and their tests are made
 * from or checked against.
 */
export const INSTRUMENTS: Readonly<Record<InstrumentName, Instrument>> = {
  ...COUNTERS,
  ...GAUGES,
  ...HISTOGRAMS,
}
