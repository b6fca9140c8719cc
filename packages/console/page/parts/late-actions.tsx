import type { JSX } from 'preact'
import type { LateAnswer } from '../../src/protocol.ts'
import { lateRanges } from '../pure/late-ranges.ts'
import { count, position } from '../pure/words.ts'
import { ActionButton } from './action.tsx'

/** What one may do to the open late events that are shown, source by source. */
export function LateActions({
  late,
  projection,
}: {
  readonly late: LateAnswer['late']
  /** `''`: every one. */
  readonly projection: string
}): JSX.Element {
  return (
    <>
      {lateRanges(late, projection).map(({ source, from, to, events }) => {
        const body = { source, from, to, ...(projection === '' ? {} : { projections: [projection] }) }
        const of = projection === '' ? source : `${source} that ${projection} has missed`
        const what = `${count(events, 'open late event')} of ${of}, from ${position(from)} to ${position(to)}`
        return (
          <div class="row" key={source}>
            <span>{what}</span>
            <ActionButton
              action={{ name: 'reprocessLate', says: 'Handle them now', title: `Handle ${what}`, body }}
            />
            <ActionButton
              action={{
                name: 'discardLate',
                says: 'Discard',
                title: `Discard ${what}`,
                body,
                isDanger: true,
              }}
            />
          </div>
        )
      })}
    </>
  )
}
