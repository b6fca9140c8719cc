import {
  createOperations,
  type OperationRequest,
  type Operations,
  type OperationsOptions,
  type Outcome,
  type RehearsedRequests,
  rehearse,
} from '@tidemark/core/operations'
import type { ResolvedConsoleOptions } from '../options.ts'
import type { ActionName } from '../protocol.ts'
import { isNumbered } from '../status/events-of.ts'
import { operatedSource } from '../status/operated-source.ts'
import { formatOutcome } from '../status/outcome.ts'
import { formatWould } from '../status/would.ts'
import type { Action } from './action.ts'
import type { Fields } from './fields.ts'

/** How long is waited for a batch at hand, and for the node that runs it. */
const BATCH_MS = 30_000
const NODE_MS = 60_000

type Name = keyof RehearsedRequests<bigint>
type Request<N extends Name> = RehearsedRequests<bigint>[N]

interface Operation<N extends Name> {
  readonly verb: string
  readonly timeoutMs: number
  /** Whether it takes positions, and so needs the source. */
  readonly takesPositions: boolean
  readonly more: (fields: Fields) => Omit<Request<N>, keyof OperationRequest> & { readonly version?: number }
  /** Behind the name of the projection. */
  readonly to: (request: Request<N>) => string
}

function operation<N extends Name>(
  name: N,
  { verb, timeoutMs, takesPositions, more, to }: Operation<N>,
): Action {
  return (options, fields) => {
    const projection = fields.text('projection')
    const asked = { projection, ...more(fields) }
    const request = (
      asker: { readonly who: string; readonly why: string },
      signal?: AbortSignal,
    ): Request<N> =>
      // Each operation has added what it needs besides.
      ({
        ...asked,
        ...asker,
        ...(signal === undefined ? {} : { timeoutMs, signal }),
      }) as unknown as Request<N>
    const of = async (): Promise<OperationsOptions<bigint>> =>
      takesPositions ? await positioned(options, projection) : { checkpoints: options.checkpoints }
    const version = asked.version === undefined ? '' : `, version ${asked.version}`
    return {
      what: `${verb} ${projection}${version}${to(request({ who: '', why: '' }))}`,
      dry: async (asker) => {
        const rehearsed = await rehearse<bigint, N>(await of(), name, request(asker))
        return { would: formatWould(rehearsed), isNothing: rehearsed.length === 0, count: null, filter: null }
      },
      run: async (asker, _, signal) => {
        const operations = createOperations(await of())
        const does = operations[name] as (this: Operations<bigint>, of: Request<N>) => Promise<Outcome>
        // What follows in it are commands of the terminal program.
        const [told = ''] = formatOutcome(projection, await does.call(operations, request(asker, signal)))
        return told
      },
    }
  }
}

async function positioned(
  options: ResolvedConsoleOptions,
  projection: string,
): Promise<OperationsOptions<bigint>> {
  const { checkpoints, operations } = options
  const units = await operations.list({ projection })
  const source = units[0]?.source
  // Without a source it is refused, and told why.
  if (source === undefined || !isNumbered(units)) return { checkpoints }
  return { checkpoints, source: operatedSource(options, checkpoints, source).source }
}

function versioned(fields: Fields): { readonly version?: number } {
  const version = fields.optionalVersion()
  return version === undefined ? {} : { version }
}

const plain = { takesPositions: false, more: versioned, to: () => '' } as const

/** What is done to projections. */
export const PROJECTION_ACTIONS: Readonly<
  Record<
    Extract<
      ActionName,
      | 'pause'
      | 'resume'
      | 'moveTo'
      | 'skipNext'
      | 'switchTo'
      | 'retire'
      | 'rebuild'
      | 'reshard'
      | 'split'
      | 'merge'
      | 'cancel'
      | 'forget'
    >,
    Action
  >
> = {
  pause: operation('pause', { ...plain, verb: 'pause', timeoutMs: BATCH_MS }),
  resume: operation('resume', { ...plain, verb: 'resume', timeoutMs: BATCH_MS }),
  moveTo: operation('moveTo', {
    verb: 'move',
    timeoutMs: BATCH_MS,
    takesPositions: true,
    more: (fields) => ({ ...versioned(fields), position: fields.positionOrStart('position') }),
    to: ({ position }) => ` to ${position ?? 'before the first event'}`,
  }),
  skipNext: operation('skipNext', {
    verb: 'skip the event of',
    timeoutMs: NODE_MS,
    takesPositions: true,
    more: (fields) => ({ ...versioned(fields), position: fields.position('position') }),
    to: ({ position }) => ` at ${position}`,
  }),
  switchTo: operation('switchTo', {
    ...plain,
    verb: 'switch',
    timeoutMs: NODE_MS,
    more: (fields) => ({ version: fields.integer('version', 1, 1_000_000) }),
  }),
  retire: operation('retire', { ...plain, verb: 'retire', timeoutMs: BATCH_MS }),
  rebuild: operation('rebuild', { ...plain, verb: 'rebuild', timeoutMs: NODE_MS }),
  reshard: operation('reshard', {
    verb: 'cut',
    timeoutMs: NODE_MS,
    takesPositions: true,
    more: (fields) => ({ ...versioned(fields), shards: fields.integer('shards', 1, 1_024) }),
    to: ({ shards }) => ` into ${shards} shards`,
  }),
  split: operation('split', {
    verb: 'split',
    timeoutMs: NODE_MS,
    takesPositions: true,
    more: (fields) => ({ ...versioned(fields), slots: fields.slots('slots') }),
    to: ({ slots: { from, to } }) => `, its shard ${from}-${to}`,
  }),
  merge: operation('merge', {
    verb: 'merge',
    timeoutMs: NODE_MS,
    takesPositions: true,
    more: (fields) => ({ ...versioned(fields), slots: fields.slots('slots') }),
    to: ({ slots: { from, to } }) => `, its shards of the slots ${from}-${to}`,
  }),
  cancel: operation('cancel', { ...plain, verb: 'cancel what was asked of', timeoutMs: BATCH_MS }),
  forget: operation('forget', { ...plain, verb: 'forget', timeoutMs: BATCH_MS }),
}
