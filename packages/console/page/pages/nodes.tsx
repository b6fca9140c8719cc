import type { JSX } from 'preact'
import type { Node, NodeAuditAnswer, NodeMove, NodesAnswer } from '../../src/protocol.ts'
import { useAnswer } from '../live/answer.ts'
import { session } from '../live/api.ts'
import { ActionButton } from '../parts/action.tsx'
import { Answered } from '../parts/answered.tsx'
import { NodeAudit } from '../parts/node-audit.tsx'
import { Page } from '../parts/page.tsx'
import { State } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { listed } from '../pure/words.ts'

const EVERY_MS = 2_000

/** Which node has what. */
export function NodesPage(): JSX.Element {
  const asked = useAnswer<NodesAnswer>('nodes', {}, EVERY_MS)
  const audit = useAnswer<NodeAuditAnswer>('node-audit', { limit: 20 }, EVERY_MS * 5)
  return (
    <Page title="Nodes">
      <Answered of={asked.value}>
        {({ sources, moves }) => (
          <>
            {sources.length === 0 && <p>No projection has a checkpoint yet.</p>}
            {sources.map(({ source, nodes, unowned }) => (
              <section key={source} class="panel" aria-label={`Nodes of ${source}`}>
                <h2>Nodes of {source}</h2>
                {nodes.length === 0 ? (
                  <p class="muted">Its daemons share nothing by leases, so nothing is known of them here.</p>
                ) : (
                  <NodeTable nodes={nodes} />
                )}
                {nodes.length > 0 && unowned.length > 0 && (
                  <p class="said bad">No node that is alive has {listed(unowned, 10)}.</p>
                )}
              </section>
            ))}
            <Moves moves={moves} />
          </>
        )}
      </Answered>
      <section class="panel" aria-label="What was wanted of nodes">
        <h2>What was wanted of nodes</h2>
        <Answered of={audit.value}>{({ entries }) => <NodeAudit entries={entries} />}</Answered>
      </section>
    </Page>
  )
}

function NodeTable({ nodes }: { readonly nodes: readonly Node[] }): JSX.Element {
  return (
    <table class="blocks">
      <thead>
        <tr>
          <th scope="col">node</th>
          <th scope="col">state</th>
          <th scope="col">wanted</th>
          <th scope="col">has</th>
          {session.value?.actions === true && (
            <th scope="col">
              <span class="hidden">what one may do</span>
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {nodes.map((node) => (
          <NodeRow key={node.id} node={node} />
        ))}
      </tbody>
    </table>
  )
}

const MOST_UNITS = 20

function NodeRow({ node }: { readonly node: Node }): JSX.Element {
  const { name, isAlive, isLeaving, desired, decision, presence, units } = node
  const state = !isAlive ? 'gone' : isLeaving ? 'leaves' : 'alive'
  return (
    <tr>
      <th scope="row" data-name="node">
        {name}
      </th>
      <td data-name="state">
        <span>
          <State is={state} tone={isAlive ? (isLeaving ? 'warn' : 'good') : 'bad'} />
          {presence === 'gone' && isAlive && <span class="muted"> its connection is gone</span>}
        </span>
      </td>
      <td data-name="wanted">
        <span>
          <State is={desired} tone={desired === 'open' ? 'still' : 'warn'} />
          {decision !== null && (
            <span class="muted">
              {' '}
              {decision.who}: {decision.why}
            </span>
          )}
        </span>
      </td>
      <td data-name="has">
        {units.length === 0 ? 'nothing' : `${units.length}: ${listed(units, MOST_UNITS)}`}
      </td>
      {session.value?.actions === true && (
        <td>
          <span class="row">
            {desired !== 'open' && (
              <ActionButton
                action={{ name: 'openNode', says: 'Open', title: `Open ${name}`, body: { node: name } }}
              />
            )}
            {desired === 'open' && (
              <ActionButton
                action={{
                  name: 'cordonNode',
                  says: 'Cordon',
                  title: `Give ${name} no more`,
                  body: { node: name },
                }}
              />
            )}
            {desired !== 'draining' && (
              <ActionButton
                action={{
                  name: 'drainNode',
                  says: 'Drain',
                  title: `Let ${name} give back what it has`,
                  body: { node: name },
                  isDanger: true,
                }}
              />
            )}
          </span>
        </td>
      )}
    </tr>
  )
}

function Moves({ moves }: { readonly moves: readonly NodeMove[] }): JSX.Element {
  return (
    <section class="panel" aria-label="Moves">
      <h2>What has gone from node to node</h2>
      {moves.length === 0 ? (
        <p class="muted">Nothing, while anybody has looked at this page.</p>
      ) : (
        <ul class="gaps">
          {moves.map(({ atMs, unit, from, to }) => (
            <li key={`${atMs} ${unit}`}>
              <Time atMs={atMs} /> {unit}: {from ?? 'nobody'} → {to ?? 'nobody'}
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
