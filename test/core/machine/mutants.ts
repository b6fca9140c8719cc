export interface MachineMutant {
  readonly name: string
  readonly file: 'machine' | 'transitions' | 'standing' | 'after-failure' | 'giving-up' | 'narrow'
  readonly replace: string
  readonly by: string
}

/** The machine with one of its transitions changed, which a random history must notice. */
export const MACHINE_MUTANTS: readonly MachineMutant[] = [
  {
    name: 'tells of one try less than there were when it gives up',
    file: 'after-failure',
    replace: 'moving, tries: attempt }',
    by: 'moving, tries: attempt - 1 }',
  },
  {
    name: 'does not pass what it has given up',
    file: 'giving-up',
    replace: 'moving: { to, page: undefined, burial }',
    by: 'moving: undefined',
  },
  {
    name: 'goes on in another incarnation without reading its checkpoint',
    file: 'transitions',
    replace: '!(standing.isCheckpointRead && reading.incarnation === standing.cursorIncarnation)',
    by: '!standing.isCheckpointRead',
  },
  {
    name: 'does not read its checkpoint again after a failure',
    file: 'transitions',
    replace: 'const unsure = { ...unasked, isCheckpointRead: false, moving: undefined }',
    by: 'const unsure = { ...unasked, moving: undefined }',
  },
  {
    name: 'keeps its cursor where the checkpoint was read',
    file: 'standing',
    replace: 'cursor: position,',
    by: 'cursor: standing.cursor ?? position,',
  },
  {
    name: 'stays where it was after an empty page',
    file: 'transitions',
    replace: 'recovered(movedTo(standing, context.order, to, { events: 0, batchSize }))',
    by: 'recovered(standing)',
  },
  {
    name: 'loads a page again that it has handled',
    file: 'transitions',
    replace: 'const moved = movedTo(standing, context.order, to, { events: page?.events ?? 0, batchSize })\n',
    by: 'const moved = standing\n',
  },
  {
    name: 'never lets its checkpoint follow the cursor',
    file: 'transitions',
    replace: 'if (ms === 0 && standing.cursor !== undefined) return followTo(idle, standing.cursor, reading)',
    by: '',
  },
  {
    name: 'lets its checkpoint follow the mark past what it has not loaded',
    file: 'transitions',
    replace: 'if (reading?.mark === undefined || isReached(order, reading.mark, standing.cursor)) {',
    by: 'if (reading?.mark === undefined || standing.cursor !== undefined) { standing = { ...standing, cursor: reading?.mark }',
  },
  {
    name: 'overlooks that its right is lost at work',
    file: 'transitions',
    replace: "  standing: { ...standing, right: 'lost' },\n",
    by: '  standing,\n',
  },
  {
    name: 'works on the checkpoint of another owner as soon as it has seen it',
    file: 'machine',
    replace: '    opened: openedOfAnother,\n',
    by: '    opened,\n',
  },
  {
    name: 'handles a page that comes after its end',
    file: 'transitions',
    replace: "if (standing.stopping !== 'no' || standing.right !== 'held') return proceed(standing, context)",
    by: '',
  },
  {
    name: 'goes on after its end',
    file: 'transitions',
    replace: "if (standing.stopping !== 'no') return finish(standing, context)\n",
    by: '',
  },
  {
    name: 'moves its checkpoint when nobody waits for the end',
    file: 'transitions',
    replace: "stopping === 'draining' && isBehindCursor",
    by: 'isBehindCursor',
  },
  {
    name: 'never counts an attempt',
    file: 'after-failure',
    replace: 'const attempts = isCounted ? attempt : standing.attempts',
    by: 'const attempts = isPaused ? attempt : standing.attempts',
  },
  {
    name: 'counts attempts at the batch before',
    file: 'standing',
    replace: 'return { ...standing, attempts: 0, failuresInARow: 0, pause: undefined }',
    by: 'return { ...standing, failuresInARow: 0, pause: undefined }',
  },
  {
    name: 'pauses at a batch that can be parted',
    file: 'after-failure',
    replace: 'isNarrowable: halved !== undefined',
    by: 'isNarrowable: false',
  },
  {
    name: 'pauses at a page that could not be mapped, though events stand before the one that fails',
    file: 'after-failure',
    replace: "const at = stage === 'map' ? positionOf(order, batch) : undefined",
    by: 'const at = undefined',
  },
  {
    name: 'asks for a whole page before the event that cannot be mapped has passed',
    file: 'narrow',
    replace: 'narrowedTo(Math.floor(asked / 2), at, before?.patience ?? 1)',
    by: '{ ...narrowedTo(Math.floor(asked / 2), at, before?.patience ?? 1), through: undefined }',
  },
  {
    name: 'counts an attempt for each half',
    file: 'after-failure',
    replace: "(action.kind === 'retry' && action.counted)",
    by: "action.kind === 'narrow' || (action.kind === 'retry' && action.counted)",
  },
  {
    name: 'asks for as large a batch as the one that failed',
    file: 'transitions',
    replace: 'pageLimit(standing, policy.batchSize)',
    by: 'policy.batchSize',
  },
  {
    name: 'goes on in small batches for good',
    file: 'narrow',
    replace: 'limit: Math.min(limit * 2, batchSize), passed: 0 }',
    by: 'passed: 0 }',
  },
  {
    name: 'asks for a whole batch after the first part of one that failed',
    file: 'narrow',
    replace: 'if (narrowing === undefined) return undefined',
    by: 'if (narrowing === undefined || events > 0) return undefined',
  },
  {
    name: 'grows before the batch that failed is handled to its end',
    file: 'narrow',
    replace: 'if (through !== undefined || counted.passed < patience) return counted',
    by: 'if (counted.passed < patience) return counted',
  },
  {
    name: 'asks for a whole batch as soon as the one that failed is handled',
    file: 'narrow',
    replace: 'limit: Math.min(limit * 2, batchSize), passed: 0 }',
    by: 'limit: batchSize, passed: 0 }',
  },
  {
    name: 'shows that a batch fails which is handled to its end',
    file: 'standing',
    replace: 'if (!isParting(narrowed) && attempts === 0) {',
    by: 'if (narrowed === undefined && attempts === 0) {',
  },
  {
    name: 'parts a batch that another owner has handled',
    file: 'standing',
    replace: '{ attempts: 0, pause: undefined, narrowed: undefined }',
    by: '{ attempts: 0, pause: undefined }',
  },
  {
    name: 'blames an event of another incarnation',
    file: 'standing',
    replace: 'const isAnotherBatch = isMoved || incarnation !== standing.cursorIncarnation',
    by: 'const isAnotherBatch = isMoved',
  },
  {
    name: 'counts anew behind pages with nothing in them',
    file: 'transitions',
    replace: 'page || burial ? blamingNone(moved) : { ...moved, failuresInARow: 0 }',
    by: 'blamingNone(moved)',
  },
  {
    name: 'asks for a whole batch again after another owner has failed at it',
    file: 'transitions',
    replace: '    failuresInARow: 0,\n    isCheckpointRead: false,',
    by: '    failuresInARow: 0,\n    narrowed: undefined,\n    isCheckpointRead: false,',
  },
  {
    name: 'forgets at a takeover that it is paused',
    file: 'transitions',
    replace: '    failuresInARow: 0,\n    isCheckpointRead: false,',
    by: '    failuresInARow: 0,\n    pause: undefined,\n    isCheckpointRead: false,',
  },
  {
    name: 'forgets that a batch has failed once something else does',
    file: 'after-failure',
    replace: 'narrowed(standing.narrowed, extent, policy.batchSize) : standing.narrowed\n',
    by: 'narrowed(standing.narrowed, extent, policy.batchSize) : undefined\n',
  },
  {
    name: 'stays paused for good',
    file: 'machine',
    replace: '    due: dueAtPause,\n',
    by: '    due: stay,\n',
  },
  {
    name: 'tries again what was paused until a restart',
    file: 'transitions',
    replace: "stopping === 'no' && failure?.nextTryAtMs !== undefined",
    by: "stopping === 'no'",
  },
  {
    name: 'spends all its attempts anew at each try of a paused projection',
    file: 'after-failure',
    replace: '    attempts,\n    failuresInARow',
    by: '    attempts: isPaused ? 0 : attempts,\n    failuresInARow',
  },
  {
    name: 'waits as short as at first before each try of a paused projection',
    file: 'after-failure',
    replace: 'pause.tries + 1',
    by: 'pause.tries',
  },
  {
    name: 'waits longer and longer, from one pause to the next',
    file: 'standing',
    replace: 'return { ...standing, attempts: 0, failuresInARow: 0, pause: undefined }',
    by: 'return { ...standing, attempts: 0, failuresInARow: 0 }',
  },
  {
    name: 'shows that it works while it is tried again at a pause',
    file: 'standing',
    replace: " || shows === 'paused'",
    by: '',
  },
  {
    name: 'rests for ever',
    file: 'machine',
    replace: '    due: goOn,\n    desired,\n    stop: stopAtRest,\n  },\n  paused',
    by: '    due: stay,\n    desired,\n    stop: stopAtRest,\n  },\n  paused',
  },
  {
    name: 'works on though an operator has paused it',
    file: 'transitions',
    replace: '  if (standing.pausedBy !== undefined) return hold(standing)\n',
    by: '',
  },
  {
    name: 'handles a page that was loaded before an operator has paused it',
    file: 'transitions',
    replace: '  if (standing.pausedBy !== undefined) return proceed(standing, context)\n',
    by: '',
  },
  {
    name: 'takes the pause of an operator for a failure',
    file: 'transitions',
    replace: "const isRefused = hasCode(work.error, 'TIDEMARK_PROJECTION_PAUSED')",
    by: 'const isRefused = false',
  },
  {
    name: 'goes on from where it stood, when it is resumed',
    file: 'transitions',
    replace: '{ ...triedNow(blamingNone(after), context.nowMs), isCheckpointRead: false }, context',
    by: 'triedNow(blamingNone(after), context.nowMs), context',
  },
  {
    name: 'stays paused when it is resumed',
    file: 'transitions',
    replace:
      'return proceed({ ...triedNow(blamingNone(after), context.nowMs), isCheckpointRead: false }, context)',
    by: 'return stay(after)',
  },
  {
    name: 'forgets what an operator wants while something is at hand',
    file: 'transitions',
    replace: 'return stay(isNews ? { ...after, isCheckpointRead: false } : after)',
    by: 'return stay(standing)',
  },
  {
    name: 'overlooks an operator who has paused it, moved it and let it go on between two looks',
    file: 'transitions',
    replace: 'const isAsBefore = after === standing && (pausedBy !== undefined || !isNews)',
    by: 'const isAsBefore = after === standing',
  },
  {
    name: 'keeps a right that was lost while an operator had paused it',
    file: 'transitions',
    replace: "standing.stopping === 'no' ? { ...standing, right: 'none' } : standing",
    by: 'standing',
  },
]
