import type { Command } from 'commander'
import { createProgram } from '../../packages/cli/src/program.ts'

/** The program, for its help alone. */
export function programToRead(): Command {
  const output = { write: () => {}, isTerminal: false, columns: undefined }
  return createProgram(
    {
      out: output,
      err: output,
      env: {},
      cwd: '/',
      user: 'nobody',
      signal: new AbortController().signal,
      ask: undefined,
    },
    () => {},
  )
}
