import { next } from '../../../packages/core/src/high-water/lifecycle.ts'
import { resumeSettled } from '../../../packages/core/src/high-water/resume.ts'
import { settle, startSettlement, withMark } from '../../../packages/core/src/high-water/settlement.ts'
import { incarnationOf, isSameServerRun } from '../../../packages/pg-adapter/src/server/incarnation.ts'

/** The pure functions under test. Mutants replace some of them. */
export const realProof = {
  next,
  settle,
  startSettlement,
  withMark,
  resumeSettled,
  incarnationOf,
  isSameServerRun,
}
export type Proof = typeof realProof
