import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useId } from 'preact/hooks'
import type { ActionName, Job } from '../../src/protocol.ts'
import { type ApiError, act, asApiError } from '../live/api.ts'
import { jobs } from '../live/live.ts'
import { mayGo, useRehearsal } from '../live/rehearsal.ts'
import { type Action, asked, type Told } from './action.tsx'
import { ErrorSaid } from './answered.tsx'
import { Dialog } from './dialog.tsx'
import { JobLine } from './jobs.tsx'
import { Rehearsal } from './rehearsal.tsx'

/** The dialog of what is asked about, over whatever page there is. */
export function AskedDialog(): JSX.Element | null {
  const action = asked.value
  if (action === undefined) return null
  const close = (): void => {
    asked.value = undefined
  }
  return <ActionDialog action={action} onClose={close} />
}

/** What will happen, a reason, the result. Closing it stops nothing that was begun. */
function ActionDialog({
  action,
  onClose,
}: {
  readonly action: Action<ActionName>
  readonly onClose: () => void
}): JSX.Element {
  const begun = useSignal<Job | undefined>(undefined)
  const job = jobs.value.find(({ id }) => id === begun.value?.id) ?? begun.value
  return (
    <Dialog title={action.title} onClose={onClose}>
      {job === undefined ? (
        <Form
          action={action}
          onClose={onClose}
          onBegun={(started) => {
            begun.value = started
          }}
        />
      ) : (
        <Result job={job} onClose={onClose} />
      )}
    </Dialog>
  )
}

function Form({
  action: { name, says, body: known, Fields, isDanger },
  onClose,
  onBegun,
}: {
  readonly action: Action<ActionName>
  readonly onClose: () => void
  readonly onBegun: (job: Job) => void
}): JSX.Element {
  const body = useSignal<Told<ActionName> | undefined>(known)
  const why = useSignal('')
  const isSending = useSignal(false)
  const refused = useSignal<ApiError | undefined>(undefined)
  const rehearsed = useRehearsal(name, body.value)
  const whyId = useId()
  const isReady = body.value !== undefined && why.value.trim() !== '' && mayGo(rehearsed) && !isSending.value

  const send = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (!isReady) return
    isSending.value = true
    refused.value = undefined
    try {
      const { job } = await act(name, { ...body.value, why: why.value.trim() })
      onBegun(job)
    } catch (error) {
      refused.value = asApiError(error)
    } finally {
      isSending.value = false
    }
  }

  return (
    <form onSubmit={(event) => void send(event)}>
      {Fields !== undefined && (
        <Fields
          onBody={(filledIn) => {
            body.value = filledIn
          }}
        />
      )}
      {body.value !== undefined && <Rehearsal of={rehearsed} />}
      <label for={whyId}>
        Why (it is kept in the audit)
        <textarea
          id={whyId}
          required
          maxLength={2_000}
          value={why.value}
          onInput={({ currentTarget }) => {
            why.value = currentTarget.value
          }}
        />
      </label>
      {refused.value !== undefined && <ErrorSaid error={refused.value} />}
      <div class="actions">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class={isDanger === true ? 'primary danger' : 'primary'} disabled={!isReady}>
          {isSending.value ? 'Asking ...' : says}
        </button>
      </div>
    </form>
  )
}

function Result({ job, onClose }: { readonly job: Job; readonly onClose: () => void }): JSX.Element {
  return (
    <div class="stack">
      <JobLine job={job} />
      {job.state === 'running' && <p class="muted">It goes on when this is closed.</p>}
      <div class="actions">
        <button type="button" class="primary" onClick={onClose}>
          Close
        </button>
      </div>
    </div>
  )
}
