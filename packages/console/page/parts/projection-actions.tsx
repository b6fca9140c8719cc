import type { JSX } from 'preact'
import type { ProjectionRow } from '../../src/protocol.ts'
import { session } from '../live/api.ts'
import { number } from '../pure/words.ts'
import { ActionButton } from './action.tsx'
import { NumberField, PositionOrBeginning } from './number-field.tsx'

/** What one may do to a version as it stands; what does not fit it is refused by the server too. */
export function VersionActions({
  row,
  rows,
}: {
  readonly row: ProjectionRow
  readonly rows: readonly ProjectionRow[]
}): JSX.Element | null {
  if (session.value?.actions !== true) return null
  const { projection, version, name, state, role, asked } = row
  const on = { projection, version }
  const isPaused = state === 'paused'
  const isRetired = role === 'retired'
  return (
    <div class="row">
      {!isPaused && !isRetired && (
        <ActionButton action={{ name: 'pause', says: 'Pause', title: `Pause ${name}`, body: on }} />
      )}
      {(isPaused || isRetired) && (
        <ActionButton action={{ name: 'resume', says: 'Resume', title: `Resume ${name}`, body: on }} />
      )}
      {asked !== null && (
        <ActionButton
          action={{
            name: 'cancel',
            says: `Withdraw the ${asked.operation}`,
            title: `Withdraw the ${asked.operation} of ${name}`,
            body: on,
          }}
        />
      )}
      {!isRetired && <SkipNext row={row} />}
      {isPaused && <MoveTo row={row} />}
      {!isRetired && (
        <ActionButton
          action={{ name: 'rebuild', says: 'Rebuild', title: `Rebuild ${name}`, body: on, isDanger: true }}
        />
      )}
      {role === 'beside' && (
        <ActionButton
          action={{
            name: 'switchTo',
            says: 'Make it live',
            title: `Make ${name} the live version`,
            body: on,
          }}
        />
      )}
      {role === 'beside' && (
        <ActionButton
          action={{ name: 'retire', says: 'Retire', title: `Retire ${name}`, body: on, isDanger: true }}
        />
      )}
      {rows.length === 1 && !isRetired && <Reshard row={row} />}
      {(isPaused || isRetired) && (
        <ActionButton
          action={{ name: 'forget', says: 'Forget', title: `Forget ${name}`, body: on, isDanger: true }}
        />
      )}
    </div>
  )
}

function SkipNext({ row: { projection, version, name } }: { readonly row: ProjectionRow }): JSX.Element {
  return (
    <ActionButton
      action={{
        name: 'skipNext',
        says: 'Skip an event',
        title: `Skip the event at which ${name} fails`,
        isDanger: true,
        Fields: ({ onBody }) => (
          <NumberField
            label="Position of the event, as the log of its daemon names it"
            onNumber={(position) =>
              onBody(position === undefined ? undefined : { projection, version, position })
            }
          />
        ),
      }}
    />
  )
}

function MoveTo({ row: { projection, version, name } }: { readonly row: ProjectionRow }): JSX.Element {
  return (
    <ActionButton
      action={{
        name: 'moveTo',
        says: 'Move',
        title: `Move the checkpoint of ${name}`,
        isDanger: true,
        Fields: ({ onBody }) => (
          <PositionOrBeginning
            onPosition={(position) =>
              onBody(position === undefined ? undefined : { projection, version, position })
            }
          />
        ),
      }}
    />
  )
}

const MOST_SHARDS = 1_024

function Reshard({ row: { projection, version, name } }: { readonly row: ProjectionRow }): JSX.Element {
  return (
    <ActionButton
      action={{
        name: 'reshard',
        says: 'Reshard',
        title: `Cut ${name} into another number of shards`,
        Fields: ({ onBody }) => (
          <NumberField
            label={`How many shards, up to ${number(MOST_SHARDS)}`}
            onNumber={(text) => {
              const shards = Number(text ?? 0)
              onBody(shards >= 1 && shards <= MOST_SHARDS ? { projection, version, shards } : undefined)
            }}
          />
        ),
      }}
    />
  )
}
