import type { AuditedState } from '../../src/protocol.ts'
import { count, position } from './words.ts'

/** What an operation has changed of a unit, in words; pure. */
export function changeWords(before: AuditedState, after: AuditedState | null): string {
  if (after === null) return 'its checkpoint was deleted'
  const changed = [
    ...(before.role === after.role ? [] : [`${before.role} → ${after.role}`]),
    ...(before.desired === after.desired ? [] : [`${before.desired} → ${after.desired}`]),
    ...(before.position === after.position
      ? []
      : [`position ${position(before.position)} → ${position(after.position)}`]),
    ...(after.lateEvents === null
      ? []
      : [
          `${count(before.lateEvents?.open ?? 0, 'late event')} open → ${after.lateEvents.open}, ${after.lateEvents.asked} asked for`,
        ]),
  ]
  return changed.length === 0 ? 'done' : changed.join(', ')
}
