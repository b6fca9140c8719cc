import { systemClock } from '../kernel/clock.ts'
import { OperationPendingError, OperationRefusedError } from '../kernel/errors.ts'
import type { AuditEntry, OperatorControl, RequestName } from '../ports/control.ts'
import { type Unit, unitKey, unitName } from '../ports/unit.ts'

interface Awaited {
  readonly control: Pick<OperatorControl, 'units' | 'audit'>
  readonly unit: Unit
  readonly operation: RequestName
  /** Of the request. */
  readonly id: string
  readonly leftMs: number
  /** For the error: how long was waited in all. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 500

/** The audit entry with which a request has ended, once it has. Throws where it was refused or withdrawn. */
export async function answerOf(awaited: Awaited): Promise<AuditEntry> {
  const { unit, operation, leftMs, timeoutMs, signal } = awaited
  const untilMs = systemClock.nowMs() + leftMs
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const entry = await look(awaited)
    if (entry !== undefined) return done(entry)
    const left = untilMs - systemClock.nowMs()
    if (left <= 0) throw new OperationPendingError(unitName(unit), operation, timeoutMs)
    await systemClock.sleep(Math.min(pauseMs, left), signal)
    signal.throwIfAborted()
  }
}

/** `undefined` while it is pending. */
async function look({ control, unit, operation, id, signal }: Awaited): Promise<AuditEntry | undefined> {
  const { projection } = unit
  const units = await control.units({ projection }, signal)
  const found = units.find((each) => unitKey(each.unit) === unitKey(unit))
  if (found?.asked?.id === id) return undefined
  const [entry] = await control.audit({ projection, request: id, limit: 1 }, signal)
  if (entry !== undefined) return entry
  throw new OperationRefusedError(unitName(unit), `it was forgotten before its ${operation} was carried out`)
}

function done(entry: AuditEntry): AuditEntry {
  const { unit, operation, who, why, refused } = entry
  if (operation === 'cancel') {
    throw new OperationRefusedError(unitName(unit), `${who} has withdrawn what was asked for (${why})`)
  }
  if (refused !== undefined) throw new OperationRefusedError(unitName(unit), refused)
  return entry
}
