import type { Job, LetterState, ProjectionState } from '../../src/protocol.ts'

export type Tone = 'good' | 'warn' | 'bad' | 'still'

export const STATE_TONES: Readonly<Record<ProjectionState, Tone>> = {
  follows: 'good',
  works: 'good',
  replays: 'warn',
  fails: 'bad',
  stands: 'bad',
  paused: 'warn',
  retired: 'still',
  unknown: 'bad',
}

export const STATE_WORDS: Readonly<Record<ProjectionState, string>> = {
  follows: 'it has handled everything up to the mark',
  works: 'it is behind, and moves',
  replays: 'it handles again what was handled before',
  fails: 'its daemon fails at an event, and tries again or has given up',
  stands: 'it is behind, and has not moved for a while',
  paused: 'an operator has paused it',
  retired: 'a version that stands still for good',
  unknown: 'the mark is not known',
}

export const LETTER_TONES: Readonly<Record<LetterState, Tone>> = {
  open: 'bad',
  resolved: 'still',
  discarded: 'still',
  retried: 'good',
  replayed: 'still',
}

export const JOB_TONES: Readonly<Record<Job['state'], Tone>> = {
  running: 'warn',
  done: 'good',
  asked: 'warn',
  failed: 'bad',
}
