export type { ConsumersConfig, EventsConfig, TidemarkConfig } from './config.ts'
export type { PresetName } from './presets.ts'
