import { unitName } from '@tidemark/core/adapter'
import type {
  ControlledUnit,
  AuditEntry as StoredEntry,
  PendingRequest as StoredRequest,
  AuditedState as StoredState,
} from '@tidemark/core/operations'
import type { AuditEntry, AuditedState, Decision, PendingRequest } from '../protocol.ts'

/** What is stored, as the page is told it; pure, as all of these. */
export function textOf(value: bigint | string | undefined | null): string | null {
  return value === undefined || value === null ? null : String(value)
}

export function textsOf(counts: Readonly<Partial<Record<string, bigint>>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(counts).flatMap(([name, count]) => (count === undefined ? [] : [[name, String(count)]])),
  )
}

export function decisionOf(decision: ControlledUnit['decision']): Decision | null {
  if (decision === undefined) return null
  const { who, why, sinceMs } = decision
  return { who, why, sinceMs }
}

export function requestOf(asked: StoredRequest | undefined): PendingRequest | null {
  if (asked === undefined) return null
  const { operation, who, why, sinceMs, position } = asked
  return { operation, who, why, sinceMs, position: position ?? null }
}

export function entryOf(entry: StoredEntry): AuditEntry {
  const { id, unit, source, operation, who, why, atMs, before, after, refused } = entry
  return {
    id: String(id),
    unit: unitName(unit),
    projection: unit.projection,
    version: unit.version,
    source,
    operation,
    who,
    why,
    atMs,
    before: stateOf(before),
    after: after === undefined ? null : stateOf(after),
    refused: refused ?? null,
  }
}

function stateOf({ role, desired, position, lateEvents }: StoredState): AuditedState {
  return { role, desired, position: position ?? null, lateEvents: lateEvents ?? null }
}
