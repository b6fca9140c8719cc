import { quietly } from './quietly.ts'

/** The shape that console, pino and most others have. */
export interface Logger {
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** If the user's logger throws, the work does not notice. */
export function quietLogger(logger: Logger): Logger {
  const at =
    (level: keyof Logger): ((message: string) => void) =>
    (message) =>
      void quietly(
        () => logger[level](message),
        () => {},
      )
  return { info: at('info'), warn: at('warn'), error: at('error') }
}

export const SILENT_LOGGER: Logger = { info: () => {}, warn: () => {}, error: () => {} }
