import type { Command, Context, Input } from '../../../packages/core/src/high-water/lifecycle-commands.ts'
import { NOT_STARTED, type Standing } from '../../../packages/core/src/high-water/lifecycle-standing.ts'
import { HIGH_WATER_AGENT_DEFAULTS } from '../../../packages/core/src/high-water/options.ts'
import type { StoredProgress } from '../../../packages/core/src/ports/event-source.ts'
import { denseOrder } from '../../../packages/core/src/ports/position.ts'
import type { DaemonParts } from './daemon-parts.ts'
import type { Random } from './random.ts'
import { ModelSource, type Reading } from './source.ts'

type Asked = Extract<
  Command<bigint>,
  { readonly kind: 'open' | 'recall' | 'read' | 'record' | 'save' | 'wait' }
>

/** The real decisions of a high-water agent, on a source that polls one step at a time. */
export class ModelAgent {
  readonly #parts: DaemonParts
  readonly #source: ModelSource
  readonly #context: { -readonly [K in keyof Context<bigint>]: Context<bigint>[K] }
  #standing: Standing<bigint> = NOT_STARTED
  #asked: Asked | undefined

  constructor(parts: DaemonParts) {
    this.#parts = parts
    this.#source = new ModelSource(parts)
    this.#context = {
      nowMs: 1_000_000,
      storeMs: 0,
      order: denseOrder,
      cadence: HIGH_WATER_AGENT_DEFAULTS,
      isTold: false,
      savesSettled: parts.setting.savesSettled,
    }
    this.#next({ kind: 'start' })
  }

  get reading(): Reading | undefined {
    return this.#standing.known?.reading
  }

  get isBetweenPolls(): boolean {
    return this.#asked?.kind === 'wait'
  }

  /** A runner has found another incarnation than this one. */
  doubt(incarnation: string): void {
    this.#next({ kind: 'doubted', incarnation })
  }

  letPass(ms: number): void {
    this.#context.nowMs += ms
  }

  /** Carries out what the agent asks for, or one step of it. The end of a wait is no step of its own. */
  step(random: Random): void {
    if (this.#asked?.kind === 'wait') {
      const { deafMs, apartMs, longestMs } = this.#asked
      this.letPass(Math.max(deafMs, apartMs, longestMs))
      this.#next({ kind: 'due' })
    }
    const answer = this.#asked && this.#carryOut(this.#asked, random)
    if (answer) this.#next(answer)
  }

  #carryOut(asked: Asked, random: Random): Input<bigint> | undefined {
    const { setting, journal } = this.#parts
    switch (asked.kind) {
      case 'open':
        return {
          kind: 'opened',
          opened: this.#source.open(random),
          sharesLog: !setting.checkpointsElsewhere,
        }
      case 'recall':
        return { kind: 'recalled', stored: this.#readProgress() }
      case 'read':
        return this.#poll(random)
      case 'save': {
        const { incarnation, settled } = asked.reading
        journal.saveSettled({ incarnation, settled }, random.chance(setting.asynchronous))
        return { kind: 'saved' }
      }
      default:
        throw new Error(`the model's agent has nothing to ${asked.kind}`)
    }
  }

  #readProgress(): StoredProgress<bigint>[] {
    const { projections, journal } = this.#parts
    return [journal.alone, ...projections.map((p) => p.checkpoint)].filter((row) => row !== undefined)
  }

  #poll(random: Random): Input<bigint> | undefined {
    const answer = this.#source.step(random)
    if (answer === undefined) return undefined
    if (answer instanceof Error) return { kind: 'failed', error: answer, isTransient: true }
    return { kind: 'read', reading: answer }
  }

  #next(input: Input<bigint>): void {
    const { standing, commands } = this.#parts.subject.proof.next(this.#standing, input, this.#context)
    this.#standing = standing
    for (const command of commands) this.#take(command)
  }

  #take(command: Command<bigint>): void {
    switch (command.kind) {
      case 'prepare':
        this.#next({ kind: 'prepared' })
        break
      case 'started':
      case 'report':
        break
      case 'refused':
      case 'end':
        throw new Error(`the model's agent is ${command.kind}`)
      default:
        this.#asked = command
        if (command.kind === 'read') this.#source.begin(command.request)
    }
  }
}
