import { unitName } from '@tidemark/core/adapter'
import type { OperationName, Rehearsed } from '@tidemark/core/operations'
import { count } from './words.ts'

/** What an operation would do; pure. */
export function formatWould(rehearsed: readonly Rehearsed[]): readonly string[] {
  const [first] = rehearsed
  if (first === undefined) return ['Nothing would change: it is so already, or asked for already.']
  if (first.operation === 'reshard') return reshardLines(rehearsed)
  return rehearsed.flatMap((each) => [
    `${unitName(each.unit)} ${standingOf(each)}.`,
    ...WOULD[each.operation](each).map((line) => `  ${line}`),
  ])
}

function standingOf({ found }: Rehearsed): string {
  const beside = found.role === 'beside' ? ', beside the live version' : ''
  const paused = found.desired === 'paused' && found.role !== 'retired'
  const by = paused && found.decision !== undefined ? ` by ${found.decision.who} (${found.decision.why})` : ''
  const state = paused ? `is paused${by}` : found.role === 'retired' ? 'is retired' : 'runs'
  return `${state}, at ${found.position ?? 'its beginning'}${beside}`
}

const WOULD: Readonly<Record<OperationName, (would: Rehearsed) => readonly string[]>> = {
  pause: () => [
    'It would be paused: no batch of it commits any more, on whatever node, until it is resumed.',
  ],
  resume: ({ found }) => [
    found.role === 'retired'
      ? 'It would go on beside the live version, from where it stands.'
      : 'It would go on from there, within a second.',
  ],
  move: moveLines,
  retire: () => [
    'It would stand still for good, on whatever node. Its checkpoint is kept until it is forgotten; resume brings it back.',
  ],
  forget: () => [
    'Its checkpoint would be deleted, with what it has skipped, and its open dead letters discarded. The audit stays.',
    'A daemon that still has it begins it anew, from the first event.',
  ],
  cancel: ({ found }) => [
    `The ${found.asked?.operation ?? 'request'} would be withdrawn that ${found.asked?.who ?? 'somebody'} has asked for (${found.asked?.why ?? 'no reason is known'}).`,
  ],
  rebuild: () => [
    'The node that runs it would be asked to call its reset and to begin it anew from the first event, in one transaction.',
    'Readers see an empty or half full table until its events are handled again. Its dead letters are closed.',
  ],
  switch: () => [
    'The node that runs it would be asked to make it the live version, at one position of both, in one transaction.',
    'The version that is live now goes on beside it, so that switching back is the same step.',
  ],
  skip: ({ found }) => [
    'The node that runs it would be asked to pass the event, if it still fails there: a dead letter keeps where it is, and why.',
    `It is counted as skipped, and never handled unless the letter is retried. The checkpoint is at ${found.position ?? 'its beginning'}.`,
  ],
  reshard: () => [],
  reprocess: () => [],
  discard_late_events: () => [],
}

function moveLines({ found, to }: Rehearsed): readonly string[] {
  const [from, until] = [found.position, to?.position]
  const moved = (to?.skipped.moved ?? 0n) - (found.skipped.moved ?? 0n)
  const target = `Its checkpoint would move to ${until ?? 'before the first event'}.`
  if (moved > 0n) {
    return [
      target,
      `The positions from ${from ?? 'the first'} to there are never handled: ${moved} counted as skipped.`,
    ]
  }
  if (found.effects === 'live_only') {
    return [
      target,
      'Its handler is not called again for what it has handled: it has effects once (live_only).',
    ]
  }
  return [
    target,
    `The events above it, up to ${from ?? 'there'}, are handled again once it is resumed; what its handler has written stays as it is.`,
    'Open dead letters of these events are closed as replayed.',
  ]
}

function reshardLines(rehearsed: readonly Rehearsed[]): readonly string[] {
  if (rehearsed.some(({ isAsked }) => isAsked)) {
    return [
      'Shards that are to be one stand apart:',
      ...rehearsed.map(({ unit, found }) => `  ${unitName(unit)} is at ${found.position ?? 'its beginning'}`),
      'Those that are ahead would wait until the others have come up, for as long as the operation waits; then they are cut anew.',
    ]
  }
  return [
    `${count(rehearsed.length, 'shard')} would be made, in one transaction:`,
    ...rehearsed.map(
      ({ unit, found, to }) =>
        `  ${unitName(unit)} goes on from ${to?.position ?? 'its beginning'}, where ${unitName(found.unit)} stands`,
    ),
    'Daemons notice it by themselves.',
  ]
}
