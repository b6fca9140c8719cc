import type { JSX } from 'preact'
import type { ProjectionRow, Shard } from '../../src/protocol.ts'
import { skippedWords } from '../pure/skipped.ts'
import { position } from '../pure/words.ts'
import { ActionButton } from './action.tsx'
import { State } from './state.tsx'
import { Ago } from './time.tsx'

/** Which shard is where, and who has it. */
export function ShardTable({
  rows,
  shards,
}: {
  readonly rows: readonly ProjectionRow[]
  readonly shards: readonly Shard[]
}): JSX.Element {
  return (
    <section class="panel" aria-label="Shards">
      <h2>{shards.length === 1 ? 'One shard' : `Shards (${shards.length})`}</h2>
      <table class="blocks">
        <thead>
          <tr>
            <th scope="col">shard</th>
            <th scope="col">wanted</th>
            <th scope="col">node</th>
            <th scope="col" class="number">
              position
            </th>
            <th scope="col" class="number">
              behind
            </th>
            <th scope="col">changed</th>
            <th scope="col">skipped</th>
            <th scope="col">
              <span class="hidden">what one may do</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {shards.map((shard, n) => (
            <ShardRow
              key={shard.name}
              shard={shard}
              next={shards[n + 1]}
              projection={rows.find(({ version }) => version === shard.version)?.projection ?? ''}
            />
          ))}
        </tbody>
      </table>
    </section>
  )
}

function ShardRow({
  shard,
  next,
  projection,
}: {
  readonly shard: Shard
  readonly next: Shard | undefined
  readonly projection: string
}): JSX.Element {
  const { name, version, slots, desired } = shard
  const isSplittable = shard.role !== 'retired' && slots.to > slots.from
  const merged =
    next !== undefined && next.version === version ? { from: slots.from, to: next.slots.to } : undefined
  return (
    <tr>
      <th scope="row" data-name="shard">
        <span>
          {name}
          <span class="muted">
            {' '}
            slots {slots.from}–{slots.to}
          </span>
        </span>
      </th>
      <td data-name="wanted">
        <span>
          <State is={desired} tone={desired === 'paused' ? 'warn' : 'still'} />
          {shard.asked !== null && <span class="muted"> {shard.asked.operation} asked for</span>}
          {shard.isRetryAsked && <span class="muted"> retries asked for</span>}
        </span>
      </td>
      <td data-name="node">{shard.owner ?? (shard.isBegun === true ? 'a daemon without leases' : 'none')}</td>
      <td data-name="position" class="number">
        {position(shard.position)}
      </td>
      <td data-name="behind" class="number">
        {position(shard.behind)}
      </td>
      <td data-name="changed">
        <Ago atMs={shard.changedAtMs} />
      </td>
      <td data-name="skipped">{skippedWords(shard.skipped)}</td>
      <td>
        <span class="row">
          {isSplittable && (
            <ActionButton
              action={{
                name: 'split',
                says: 'Split',
                title: `Split ${name} in two`,
                body: { projection, version, slots },
              }}
            />
          )}
          {merged !== undefined && (
            <ActionButton
              action={{
                name: 'merge',
                says: 'Merge with the next',
                title: `Make one shard of the slots ${merged.from} to ${merged.to}`,
                body: { projection, version, slots: merged },
              }}
            />
          )}
        </span>
      </td>
    </tr>
  )
}
