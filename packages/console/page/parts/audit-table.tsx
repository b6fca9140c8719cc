import type { JSX } from 'preact'
import type { AuditEntry } from '../../src/protocol.ts'
import { changeWords } from '../pure/change-words.ts'
import { hrefOf } from '../pure/routes.ts'
import { Time } from './time.tsx'

export function AuditTable({ entries }: { readonly entries: readonly AuditEntry[] }): JSX.Element {
  if (entries.length === 0) return <p class="muted">Nobody has done anything yet.</p>
  return (
    <table class="blocks">
      <thead>
        <tr>
          <th scope="col">when</th>
          <th scope="col">who</th>
          <th scope="col">what</th>
          <th scope="col">to</th>
          <th scope="col">why</th>
          <th scope="col">came to</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((entry) => (
          <tr key={entry.id}>
            <td data-name="when">
              <Time atMs={entry.atMs} />
            </td>
            <td data-name="who">{entry.who}</td>
            <td data-name="what">{entry.operation.replaceAll('_', ' ')}</td>
            <td data-name="to">
              <a href={hrefOf(['projections', entry.projection])}>{entry.unit}</a>
            </td>
            <td data-name="why">{entry.why}</td>
            <td data-name="came to">
              {entry.refused === null ? changeWords(entry.before, entry.after) : `refused: ${entry.refused}`}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
