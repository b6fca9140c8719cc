import type { ExitCode } from './exit-codes.ts'

/** Told how a command has ended. */
export type Done = (exit: ExitCode) => void
