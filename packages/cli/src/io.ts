import { userInfo } from 'node:os'
import { createInterface } from 'node:readline/promises'

/** Where text goes. */
export interface Output {
  write(text: string): void
  readonly isTerminal: boolean
  /** Of a terminal. */
  readonly columns: number | undefined
}

/** All that the program has of the world beside the database. */
export interface Io {
  readonly out: Output
  readonly err: Output
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Who runs the program, as the operating system says. */
  readonly user: string
  /** Fires at Ctrl-C. */
  readonly signal: AbortSignal
  /** `undefined`: nobody is there who could be asked. */
  readonly ask: ((question: string) => Promise<string>) | undefined
}

export function processIo(): Io {
  const interruption = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interruption.abort())
  // Whoever reads has had enough, as `head` has.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1))
  const { stdin, stderr } = process
  return {
    out: outputOf(process.stdout),
    err: outputOf(stderr),
    env: process.env,
    cwd: process.cwd(),
    user: userName(),
    signal: interruption.signal,
    ask:
      stdin.isTTY && stderr.isTTY
        ? async (question) => {
            const reader = createInterface({ input: stdin, output: stderr })
            try {
              return await reader.question(question, { signal: interruption.signal })
            } finally {
              reader.close()
            }
          }
        : undefined,
  }
}

function outputOf(stream: NodeJS.WriteStream): Output {
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.isTTY ? stream.columns : undefined
    },
  }
}

/** A container may run under a number that has no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return 'somebody'
  }
}
