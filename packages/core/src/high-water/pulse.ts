import { LONGEST_WAIT_MS } from '../kernel/back-off.ts'
import type { Pulse } from '../kernel/pulse.ts'
import type { Phase } from './lifecycle-standing.ts'

/** What the polls wait for, their last sign of life; `sinceMs`: when their standing last changed. */
export function pulseOf(phase: Phase, sinceMs: number, pollIntervalMs: number): Pulse {
  const waitsFor = WAITS_FOR[phase]
  if (waitsFor !== 'timer') return { waitsFor, sinceMs }
  return { waitsFor, sinceMs, dueMs: sinceMs + Math.max(pollIntervalMs, LONGEST_WAIT_MS) }
}

const WAITS_FOR: Readonly<Record<Phase, Pulse['waitsFor']>> = {
  idle: 'nothing',
  starting: 'nothing',
  opening: 'answer',
  recalling: 'answer',
  reading: 'answer',
  recording: 'answer',
  saving: 'answer',
  resting: 'timer',
  halted: 'nothing',
  stopping: 'nothing',
  stopped: 'nothing',
}
