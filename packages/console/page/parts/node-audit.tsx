import type { JSX } from 'preact'
import type { NodeAuditAnswer } from '../../src/protocol.ts'
import { Time } from './time.tsx'

export function NodeAudit({ entries }: { readonly entries: NodeAuditAnswer['entries'] }): JSX.Element {
  if (entries.length === 0) return <p class="muted">Nobody has wanted anything of a node yet.</p>
  return (
    <ul class="gaps">
      {entries.map(({ id, atMs, who, node, desired, why }) => (
        <li key={id}>
          <Time atMs={atMs} /> <strong>{node}</strong> {desired}, by {who}: {why}
        </li>
      ))}
    </ul>
  )
}
