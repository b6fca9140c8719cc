import { type Signal, signal } from '@preact/signals'
import type { JSX } from 'preact'
import type { ActionBodies, ActionName } from '../../src/protocol.ts'
import { session } from '../live/api.ts'

/** What an action is told, without the reason. */
export type Told<N extends ActionName> = WithoutWhy<ActionBodies[N]>
type WithoutWhy<T> = T extends unknown ? Omit<T, 'why'> : never

export interface Action<N extends ActionName> {
  readonly name: N
  /** On the button. */
  readonly says: string
  /** Over the dialog: what is done to what. */
  readonly title: string
  /** `undefined`: it is to be filled in. */
  readonly body?: Told<N>
  /** What is to be filled in; it tells the body whenever that is complete, and `undefined` where it is not any more. */
  readonly Fields?: (props: { readonly onBody: (body: Told<N> | undefined) => void }) => JSX.Element
  readonly isDanger?: boolean
}

/**
 * What is asked about just now. It is what was shown when the button was pressed, and it stays whatever becomes of the button: one that
 * pauses goes away when it has paused.
 */
export const asked: Signal<Action<ActionName> | undefined> = signal(undefined)

/** A button, where actions are on. */
export function ActionButton<N extends ActionName>({
  action,
}: {
  readonly action: Action<N>
}): JSX.Element | null {
  if (session.value?.actions !== true) return null
  const open = (): void => {
    asked.value = action as unknown as Action<ActionName>
  }
  return (
    <button type="button" class={action.isDanger === true ? 'danger' : ''} onClick={open}>
      {action.says}
    </button>
  )
}
