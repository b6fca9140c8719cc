export type { EventsConfig } from '@tidemark/console/status'
export type { ConsumersConfig, TidemarkConfig } from './config.ts'
export type { PresetName } from './presets.ts'
