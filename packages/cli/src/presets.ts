import { emmett, eventuous, marten, messageDb, type Preset, transactionPairs } from '@tidemark/pg-adapter'

/** Projects whose tables are known. A preset that has to be told more belongs into `tidemark.config`. */
export type PresetName = 'emmett' | 'eventuous' | 'marten' | 'message-db' | 'transaction-pairs'

const PRESETS: Readonly<Record<PresetName, () => Preset>> = {
  emmett: () => emmett(),
  eventuous: () => eventuous(),
  marten: () => marten(),
  'message-db': () => messageDb(),
  'transaction-pairs': () => transactionPairs(),
}

export const PRESET_NAMES: readonly string[] = Object.keys(PRESETS)

export function isPresetName(name: string): name is PresetName {
  return name in PRESETS
}

export function presetOf(name: PresetName): Preset {
  return PRESETS[name]()
}
