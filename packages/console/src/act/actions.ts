import { setTimeout as sleep } from 'node:timers/promises'
import { HttpError } from '../http/http-error.ts'
import type { ResolvedConsoleOptions } from '../options.ts'
import type { ActionAnswer, ActionName, DryAnswer } from '../protocol.ts'
import type { Action } from './action.ts'
import { Fields } from './fields.ts'
import type { Jobs } from './jobs.ts'
import { LATE_ACTIONS } from './late.ts'
import { LETTER_ACTIONS } from './letters.ts'
import { NODE_ACTIONS } from './nodes.ts'
import { PROJECTION_ACTIONS } from './projections.ts'

const ACTIONS: Readonly<Record<ActionName, Action>> = {
  ...PROJECTION_ACTIONS,
  ...NODE_ACTIONS,
  ...LETTER_ACTIONS,
  ...LATE_ACTIONS,
}

/** As long as a person waits for a button. What takes longer is shown as a job. */
const ANSWER_WITHIN_MS = 3_000
const LONGEST_REASON = 2_000
const REHEARSED_WHY = 'a dry run'

/** One request to do something. */
export interface ActionRequest {
  readonly name: string
  readonly body: Readonly<Record<string, unknown>>
  readonly who: string
  readonly isDry: boolean
}

/** Does what operators do, each as a job of this process. */
export class Actions {
  readonly #options: ResolvedConsoleOptions
  readonly #jobs: Jobs
  readonly #ended: () => Promise<void>
  readonly #closed = new AbortController()

  /** @param ended - called when something has been changed, before that is answered */
  constructor(options: ResolvedConsoleOptions, jobs: Jobs, ended: () => Promise<void>) {
    this.#options = options
    this.#jobs = jobs
    this.#ended = ended
  }

  /** What waits here for an answer waits no more. */
  close(): void {
    this.#closed.abort(new Error('the console was closed'))
  }

  async dry({ name, body, who }: ActionRequest): Promise<DryAnswer> {
    const fields = new Fields(body)
    const task = actionOf(name)(this.#options, fields)
    const why = fields.has('why') ? fields.text('why', LONGEST_REASON) : REHEARSED_WHY
    fields.end()
    return await task.dry({ who, why })
  }

  /** Rejects with the error of what has failed at once. */
  async act({ name, body, who }: ActionRequest): Promise<ActionAnswer> {
    const fields = new Fields(body)
    const task = actionOf(name)(this.#options, fields)
    const why = fields.text('why', LONGEST_REASON)
    fields.end()
    const asked = { action: name as ActionName, what: task.what, who, why }
    const { id, ended } = this.#jobs.start(asked, (progress) =>
      task.run({ who, why }, progress, this.#closed.signal),
    )
    const followed = ended.then(this.#ended)
    try {
      await Promise.race([followed, sleep(ANSWER_WITHIN_MS, undefined, { ref: false })])
    } catch (error) {
      // It was told, and stands in no list of what goes on.
      this.#jobs.drop(id)
      throw error
    }
    const job = this.#jobs.find(id)
    if (job === undefined) throw new Error('a job has gone while it was waited for')
    return { job }
  }
}

function actionOf(name: string): Action {
  if (Object.hasOwn(ACTIONS, name)) return ACTIONS[name as ActionName]
  throw new HttpError(404, 'NO_SUCH_ACTION', `There is no action ${JSON.stringify(name.slice(0, 100))}.`)
}
