import { formatWould } from '@tidemark/console/status'
import type { Rehearsed } from '@tidemark/core/operations'
import { isColoured, type Line, textOf } from './lines.ts'
import type { ChangeFlags } from './options.ts'
import { print } from './print.ts'
import type { Session } from './session.ts'
import { UsageError } from './usage-error.ts'

/** Who asks, and why, for the audit. */
export interface Asker {
  readonly who: string
  readonly why: string
}

/** Of a rehearsal, which asks for nothing. */
const REHEARSED_WHY = 'a dry run'

/** Throws `UsageError` where a reason is needed and none was given. */
export function askerOf(session: Session, { why, who, dryRun }: ChangeFlags): Asker {
  if (why === undefined && dryRun !== true) {
    throw new UsageError('This changes something, and nobody has said why.', [
      'Add --why "...": it is kept in the audit, and shown to whoever looks. Or --dry-run, to see what would happen.',
    ])
  }
  return { who: who ?? session.io.env.TIDEMARK_WHO ?? session.io.user, why: why ?? REHEARSED_WHY }
}

/** What would happen, in words, and for programs. */
export interface Would {
  readonly text: readonly Line[]
  readonly json: unknown
  readonly isNothing: boolean
}

export function wouldOf(rehearsed: readonly Rehearsed[]): Would {
  return {
    text: formatWould(rehearsed),
    json: rehearsed.map(({ unit, operation, isAsked, found, to = null }) => ({
      unit,
      operation,
      isAsked,
      before: { role: found.role, desired: found.desired, position: found.position ?? null },
      after: to && { role: to.role, desired: to.desired, position: to.position ?? null },
    })),
    isNothing: rehearsed.length === 0,
  }
}

/**
 * Whether it is to be done. With `--dry-run` what would happen is printed, and it is not. Without `--yes` a person is asked. Throws
 * `UsageError` where nobody can be.
 */
export async function isToBeDone(
  { io }: Session,
  flags: ChangeFlags,
  wouldHappen: () => Promise<Would>,
): Promise<boolean> {
  if (flags.dryRun === true) {
    const { text, json } = await wouldHappen()
    print(io, flags, { text, json: { dryRun: true, would: json } })
    return false
  }
  if (flags.yes === true) return true
  if (io.ask === undefined || flags.json === true) {
    throw new UsageError('This changes something, and nobody is there who could be asked.', [
      'Add --yes to do it, or --dry-run to see what would happen.',
    ])
  }
  const { text } = await wouldHappen()
  io.err.write(textOf(text, { color: isColoured(io.err, io, flags.color !== false) }))
  const answer = await io.ask('Do it? [y/N] ')
  if (/^y(es)?$/i.test(answer.trim())) return true
  io.err.write('Nothing was changed.\n')
  return false
}
