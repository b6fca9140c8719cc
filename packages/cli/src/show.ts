import { setTimeout as sleep } from 'node:timers/promises'
import { ago, messageOf, utc } from '@tidemark/console/status'
import { EXIT, type ExitCode } from './exit-codes.ts'
import type { Io } from './io.ts'
import { isColoured, jsonOf, type Line, textOf } from './lines.ts'
import { type OutputFlags, print } from './print.ts'

/** What one look at something has come to. */
export interface Shown {
  readonly text: readonly Line[]
  readonly json: unknown
  readonly exit: ExitCode
}

export interface ShowFlags extends OutputFlags {
  /** Milliseconds; `true`: as often as is usual; `undefined`: once. */
  readonly watch?: number | true
}

const EVERY_MS = 2_000
const CLEAR = '\u001b[H\u001b[2J\u001b[3J'

/** Once, or with `--watch` again and again until Ctrl-C. As JSON, each look is a line then. */
export async function show(io: Io, flags: ShowFlags, look: () => Promise<Shown>): Promise<ExitCode> {
  if (flags.watch === undefined) {
    const shown = await look()
    print(io, flags, shown)
    return shown.exit
  }
  const everyMs = flags.watch === true ? EVERY_MS : flags.watch
  let lastAtMs: number | undefined
  for (;;) {
    try {
      const { text, json } = await look()
      lastAtMs = Date.now()
      if (flags.json === true) io.out.write(`${jsonOf(json)}\n`)
      else paint(io, flags, text, true)
    } catch (error) {
      if (io.signal.aborted) return EXIT.interrupted
      // The first look says whether anything can be seen at all.
      if (lastAtMs === undefined) throw error
      if (flags.json === true) io.err.write(`${jsonOf({ error: { message: messageOf(error) } })}\n`)
      else paint(io, flags, outOfDate(error, lastAtMs), false)
    }
    try {
      await sleep(everyMs, undefined, { signal: io.signal })
    } catch {
      return EXIT.interrupted
    }
  }
}

function paint(io: Io, flags: OutputFlags, lines: readonly Line[], isWhole: boolean): void {
  const clear = isWhole && io.out.isTerminal ? CLEAR : ''
  const text = textOf(lines, { color: isColoured(io.out, io, flags.color !== false) })
  io.out.write(`${clear}${text}${io.out.isTerminal ? '' : '\n'}`)
}

function outOfDate(error: unknown, lastAtMs: number): readonly Line[] {
  const what = `It cannot be read now: ${messageOf(error)}`
  return [
    { text: what, tone: 'bad' },
    `What stands above is of ${utc(lastAtMs)}, ${ago(lastAtMs, Date.now())}. It is tried again.`,
  ]
}
