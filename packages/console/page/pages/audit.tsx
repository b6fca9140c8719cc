import type { JSX } from 'preact'
import type { AuditAnswer, NodeAuditAnswer } from '../../src/protocol.ts'
import { useAnswer } from '../live/answer.ts'
import { Answered } from '../parts/answered.tsx'
import { AuditTable } from '../parts/audit-table.tsx'
import { NodeAudit } from '../parts/node-audit.tsx'
import { Page } from '../parts/page.tsx'
import { hrefOf } from '../pure/routes.ts'

const EVERY_MS = 5_000
const LIMIT = 50

/** Who has done what, when and why. */
export function AuditPage({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const projection = query.get('projection') ?? ''
  const before = query.get('before') ?? ''
  const nodesBefore = query.get('nodes') ?? ''
  // A page of the past does not change.
  const asked = useAnswer<AuditAnswer>(
    'audit',
    { projection, before, limit: LIMIT },
    before === '' ? EVERY_MS : 0,
  )
  const nodes = useAnswer<NodeAuditAnswer>(
    'node-audit',
    { before: nodesBefore, limit: LIMIT },
    nodesBefore === '' ? EVERY_MS : 0,
  )
  return (
    <Page title="Audit">
      {projection !== '' && (
        <p>
          Of {projection} alone. <a href={hrefOf(['audit'])}>Of every projection</a>
        </p>
      )}
      <section class="panel" aria-label="Projections">
        <h2>Projections</h2>
        <Answered of={asked.value}>
          {(answer) => (
            <>
              <AuditTable entries={answer.entries} />
              <Older
                href={hrefOf(['audit'], { projection, before: answer.before ?? '' })}
                isThere={answer.before !== null}
              />
            </>
          )}
        </Answered>
      </section>
      {projection === '' && (
        <section class="panel" aria-label="Nodes">
          <h2>Nodes</h2>
          <Answered of={nodes.value}>
            {(answer) => (
              <>
                <NodeAudit entries={answer.entries} />
                <Older
                  href={hrefOf(['audit'], { nodes: answer.before ?? '' })}
                  isThere={answer.before !== null}
                />
              </>
            )}
          </Answered>
        </section>
      )}
    </Page>
  )
}

function Older({ href, isThere }: { readonly href: string; readonly isThere: boolean }): JSX.Element | null {
  return isThere ? <a href={href}>Older ones</a> : null
}
