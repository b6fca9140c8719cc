export { type ConsoleHandler, consoleHandler } from './handler.ts'
export { CONSOLE_DEFAULTS, type ConsoleOptions, type ConsoleParts, type Viewer } from './options.ts'
export { type ServeConsoleOptions, type ServedConsole, serveConsole } from './serve.ts'
export type { EventsConfig } from './status/reader.ts'
