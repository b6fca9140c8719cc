import {
  denseOrder,
  type HighWaterReading,
  IncarnationChangedError,
  LateEventsError,
  ProgressNeededError,
  StoreRewoundError,
} from '@tidemark/core/adapter'
import { POLLS_IN_A_ROW } from '../../../packages/core/src/high-water/cadence.ts'
import type {
  Command,
  Context,
  Input,
  Step,
} from '../../../packages/core/src/high-water/lifecycle-commands.ts'
import { NOT_STARTED, type Standing } from '../../../packages/core/src/high-water/lifecycle-standing.ts'
import { Random } from '../model/random.ts'
import { reading } from '../rig.ts'
import { Wrong, wrongWhile } from '../wrong.ts'

export interface Lifecycle {
  readonly next: <P>(standing: Standing<P>, input: Input<P>, context: Context<P>) => Step<P>
}

type AnyCommand = Command<bigint>
type Asked = Exclude<AnyCommand, { readonly kind: 'started' | 'refused' | 'report' | 'end' }>
type Reading = HighWaterReading<bigint>

const POLL_DELAY_MS = 25

const ANSWERS = {
  prepare: { kind: 'prepared' },
  recall: { kind: 'recalled', stored: [] },
  record: { kind: 'recorded' },
  save: { kind: 'saved' },
} as const

/** What was wrong in the history of this seed; `undefined` if nothing was. */
export function wrongIn(lifecycle: Lifecycle, seed: number, inputs: number): string | undefined {
  const history = new History(lifecycle, new Random(seed))
  const live = () => {
    while (history.inputs < inputs) history.step()
  }
  return wrongWhile(live, history, seed)
}

/** One agent after another, on a store that crashes. Beside it goes what is known without a machine. */
class History {
  inputs = 0
  readonly #lifecycle: Lifecycle
  readonly #random: Random
  #standing: Standing<bigint> = NOT_STARTED
  #asked: Asked | undefined
  #nowMs = 1_000_000
  #crashes = 0
  #settled = 0n
  /** What may be used now. */
  #known: Reading | undefined
  #newest: Reading | undefined
  /** The newest doubt since the last poll began. */
  #doubted: string | undefined
  /** What the poll at hand has opened, and whether stored progress was read since. */
  #opened: string | undefined
  #isStoredRead = false
  #savedAtMs = Number.NEGATIVE_INFINITY
  #failuresInARow = 0
  /** When the last polls have begun, as many as need not be apart. */
  #begunAtMs: readonly number[] = []
  #isOutcomeTold = false
  #isStopping = false
  #isOver = false

  constructor(lifecycle: Lifecycle, random: Random) {
    this.#lifecycle = lifecycle
    this.#random = random
    this.#restart()
  }

  get #incarnation(): string {
    return `run ${this.#crashes}`
  }

  step(): void {
    const draw = this.#random.below(100)
    if (draw < 15) this.#settled++
    else if (draw < 18) this.#crashes++
    else if (draw < 21) this.#doubt(`run ${this.#crashes - this.#random.below(2)}`)
    else if (draw < 22) this.#stop()
    else if (this.#asked) this.#answer(this.#asked)
    if (this.#isOver) this.#restart()
  }

  #restart(): void {
    this.#standing = NOT_STARTED
    this.#asked = undefined
    this.#known = undefined
    this.#newest = undefined
    this.#doubted = undefined
    this.#opened = undefined
    this.#savedAtMs = Number.NEGATIVE_INFINITY
    this.#failuresInARow = 0
    this.#begunAtMs = []
    this.#isOutcomeTold = false
    this.#isStopping = false
    this.#isOver = false
    this.#next({ kind: 'start' })
  }

  #doubt(incarnation: string): void {
    this.#doubted = incarnation
    this.#next({ kind: 'doubted', incarnation })
  }

  #stop(): void {
    const isAtWork = this.#asked?.kind !== 'wait' && this.#asked?.kind !== 'prepare'
    this.#isStopping = true
    this.#next({ kind: 'stop' })
    if (this.#isOver === isAtWork) throw new Wrong(`it ${isAtWork ? 'ends at work' : 'does not end at rest'}`)
    if (this.#isOver) return
    if (this.#random.chance(0.3)) this.#next({ kind: 'given_up' })
    else if (this.#asked) this.#answer(this.#asked)
    if (!this.#isOver) throw new Wrong('it does not end')
  }

  #answer(asked: Asked): void {
    this.#asked = undefined
    if (asked.kind === 'wait') {
      // A wake-up comes at any time, and often as soon as it counts.
      const leastMs = Math.max(asked.deafMs, asked.apartMs)
      const furtherMs = Math.max(0, asked.longestMs - leastMs) * this.#random.next()
      this.#nowMs += this.#random.chance(0.5) ? leastMs : leastMs + furtherMs
      this.#next({ kind: 'due' })
    } else if (this.#random.chance(0.05)) this.#fail(new Error('connection terminated'), true)
    else if (this.#random.chance(0.01)) this.#fail(new Error('a condition is violated'), false)
    else this.#succeed(asked)
  }

  #succeed(asked: Exclude<Asked, { readonly kind: 'wait' }>): void {
    if (asked.kind === 'read') this.#read(asked.request)
    else if (asked.kind === 'open') this.#open()
    else {
      if (asked.kind === 'recall') this.#isStoredRead = true
      if (asked.kind === 'save') this.#savedAtMs = this.#nowMs
      this.#next(ANSWERS[asked.kind])
    }
  }

  #open(): void {
    this.#opened = this.#incarnation
    this.#isStoredRead = false
    const opened = { incarnation: this.#incarnation, memory: undefined }
    this.#next({ kind: 'opened', opened, sharesLog: true })
  }

  #read({ previous, opened, stored, former }: Extract<Asked, { readonly kind: 'read' }>['request']): void {
    if (previous !== this.#known) throw new Wrong('it goes on from something else than what is known')
    if (previous === undefined) {
      if (this.#opened !== opened.incarnation) throw new Wrong('it polls a run that it has not opened')
      if (!this.#isStoredRead || stored === undefined) throw new Wrong('it polls without stored progress')
      if (former !== this.#newest) throw new Wrong('it forgets what was passed on before')
    }
    const random = this.#random
    if (opened.incarnation !== this.#incarnation) {
      if (!this.#standing.poll.isAnew && !this.#isStopping) this.#forget()
      this.#fail(new IncarnationChangedError(opened.incarnation, this.#incarnation), false)
    } else if (previous && stored === undefined && random.chance(0.05)) {
      this.#fail(new ProgressNeededError(), false)
    } else if (random.chance(0.01)) {
      const isRewound = random.chance(0.5)
      this.#fail(
        isRewound ? new StoreRewoundError('rewound') : new LateEventsError('events', [], [], ''),
        false,
      )
    } else this.#finish(opened.incarnation)
  }

  #finish(incarnation: string): void {
    const skipped = this.#random.chance(0.1) ? [{ stored: 1n, current: 3n, count: 1n }] : []
    const settled = this.#settled === 0n ? undefined : this.#settled
    const now = reading({ incarnation, head: settled, settled, mark: settled, skipped })
    this.#next({ kind: 'read', reading: now })
  }

  #forget(): void {
    this.#known = undefined
    this.#opened = undefined
  }

  #fail(error: Error, isTransient: boolean): void {
    this.#next({ kind: 'failed', error, isTransient })
  }

  #next(input: Input<bigint>): void {
    this.inputs++
    const context: Context<bigint> = {
      nowMs: this.#nowMs,
      storeMs: this.#random.below(10),
      order: denseOrder,
      cadence: { pollIntervalMs: 1_000, pollDelayMs: POLL_DELAY_MS, pollTimeShare: 0.5 },
      isTold: this.#random.below(2) === 0,
      savesSettled: true,
    }
    const { standing, commands } = this.#lifecycle.next(this.#standing, input, context)
    this.#standing = standing
    for (const command of commands) this.#take(command)
    this.#check(input)
  }

  #take(command: AnyCommand): void {
    if (this.#isOver) throw new Wrong(`it asks for ${command.kind} after its end`)
    if (command.kind === 'report') this.#hear(command.report)
    else if (command.kind === 'end') this.#isOver = true
    else if (command.kind === 'started' || command.kind === 'refused') {
      if (this.#isOutcomeTold) throw new Wrong('it starts twice')
      this.#isOutcomeTold = true
    } else this.#ask(command)
  }

  #hear(report: Extract<AnyCommand, { readonly kind: 'report' }>['report']): void {
    if (report.kind === 'begun') {
      if (this.#doubted !== undefined && this.#doubted === this.#known?.incarnation) this.#forget()
      this.#doubted = undefined
      this.#begun()
    } else if (report.kind === 'polled') {
      this.#known = report.reading
      this.#newest = report.reading
    } else if (report.kind === 'failed') {
      this.#failuresInARow++
      const { code } = report.error as { code?: string }
      if (code === 'TIDEMARK_LATE_EVENTS' && this.#isOutcomeTold) this.#known = undefined
    }
  }

  #begun(): void {
    const before = this.#begunAtMs.at(-POLLS_IN_A_ROW)
    if (before !== undefined && this.#nowMs - before < POLL_DELAY_MS - 0.001) {
      throw new Wrong(`${POLLS_IN_A_ROW + 1} polls begin within ${this.#nowMs - before} ms`)
    }
    this.#begunAtMs = [...this.#begunAtMs, this.#nowMs].slice(-POLLS_IN_A_ROW)
  }

  #ask(command: Asked): void {
    if (this.#asked) throw new Wrong(`it asks for ${command.kind} while ${this.#asked.kind} goes on`)
    if (this.#isStopping) throw new Wrong(`it asks for ${command.kind} though it is stopped`)
    this.#asked = command
    const isHalted = this.#standing.phase === 'halted'
    if (command.kind === 'wait' && this.#standing.shown.state === 'polling') this.#failuresInARow = 0
    if (command.kind === 'wait' && !isHalted && Math.max(command.deafMs, command.longestMs) > 5_000) {
      throw new Wrong('it waits for too long')
    }
    if (command.kind === 'wait' && this.#standing.shown.state === 'failing' && command.deafMs < 50) {
      throw new Wrong('it does not back off')
    }
    if (command.kind === 'record' && this.#standing.known?.reading !== this.#known) {
      throw new Wrong('it uses what is not recorded')
    }
    if (command.kind === 'save') {
      if (command.reading !== this.#known) throw new Wrong('it saves what does not hold')
      if (command.reading.settled === undefined) throw new Wrong('it saves nothing')
      if (this.#nowMs - this.#savedAtMs < 1_000) throw new Wrong('it saves too often')
    }
  }

  #check(input: Input<bigint>): void {
    const { phase, known, shown } = this.#standing
    if (known?.reading !== this.#known) throw new Wrong(`after ${input.kind} another reading is known`)
    const isAtEnd = phase === 'stopped' || phase === 'stopping'
    if (this.#isOver !== (phase === 'stopped')) throw new Wrong(`it is ${phase}, and its end was not told`)
    if (!isAtEnd && !this.#asked) throw new Wrong(`${phase} waits for nothing`)
    if (phase === 'resting' && !this.#isOutcomeTold) throw new Wrong('nobody is told that it has started')
    if (phase === 'resting' && (shown.state === 'failing') !== this.#failuresInARow > 0) {
      throw new Wrong(`it shows ${shown.state} after ${this.#failuresInARow} failures`)
    }
  }
}
