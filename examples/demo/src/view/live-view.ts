import { frame } from './frame.ts'
import { cut, type Paint } from './paint.ts'
import type { Snapshot } from './snapshot.ts'
import { statusLine } from './status-line.ts'

export interface LiveView {
  /** What is being done now. */
  phase: string
  /** Shows the last state and leaves it there. May be called twice. */
  stop(): void
}

const REDRAW_EVERY_MS = 200
const LINE_EVERY_MS = 1_000
const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'
const CLEAR_TO_END_OF_LINE = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'
const up = (lines: number): string => `\r\u001b[${lines}A`

/** A table redrawn in place where `stream` is a terminal, a line a second otherwise. */
export function startLiveView(
  stream: NodeJS.WriteStream,
  title: string,
  paint: Paint,
  take: (phase: string) => Snapshot,
): LiveView {
  const isTerminal = stream.isTTY && process.env.TERM !== 'dumb'
  let drawn = 0
  let isStopped = false
  const redraw = (): void => {
    const { columns = 80, rows = 24 } = stream
    const lines = frame(title, take(view.phase), paint).slice(0, rows - 1)
    const text = lines.map((line) => `${cut(line, columns - 1)}${CLEAR_TO_END_OF_LINE}\n`).join('')
    stream.write(`${drawn > 0 ? up(drawn) : HIDE_CURSOR}${text}${CLEAR_BELOW}`)
    drawn = lines.length
  }
  const addLine = (): void => {
    stream.write(`${statusLine(take(view.phase))}\n`)
  }
  const showCursor = (): void => {
    stream.write(SHOW_CURSOR)
  }
  const view: LiveView = {
    phase: '',
    stop: () => {
      if (isStopped) return
      isStopped = true
      clearInterval(timer)
      if (!isTerminal) return
      redraw()
      showCursor()
      process.off('exit', showCursor)
    },
  }
  const timer = setInterval(isTerminal ? redraw : addLine, isTerminal ? REDRAW_EVERY_MS : LINE_EVERY_MS)
  // However this process ends, the terminal gets its cursor back.
  if (isTerminal) process.once('exit', showCursor)
  return view
}
