import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { wholeNumber } from '../pure/whole-number.ts'

/** A whole number that is typed; `undefined`: it is none. */
export function NumberField({
  label,
  isDisabled = false,
  onNumber,
}: {
  readonly label: string
  readonly isDisabled?: boolean
  readonly onNumber: (text: string | undefined) => void
}): JSX.Element {
  return (
    <label>
      {label}
      <input
        inputMode="numeric"
        disabled={isDisabled}
        onInput={({ currentTarget }) => onNumber(wholeNumber(currentTarget.value))}
      />
    </label>
  )
}

/** `null`: before the first event. A field that was left empty does not mean that. */
export function PositionOrBeginning({
  onPosition,
}: {
  readonly onPosition: (position: string | null | undefined) => void
}): JSX.Element {
  const typed = useSignal<string | undefined>(undefined)
  const isBeginning = useSignal(false)
  const tell = (): void => onPosition(isBeginning.value ? null : typed.value)
  return (
    <>
      <NumberField
        label="The last position that counts as handled"
        isDisabled={isBeginning.value}
        onNumber={(position) => {
          typed.value = position
          tell()
        }}
      />
      <label class="beside">
        <input
          type="checkbox"
          checked={isBeginning.value}
          onChange={({ currentTarget }) => {
            isBeginning.value = currentTarget.checked
            tell()
          }}
        />
        to its beginning, before the first event
      </label>
    </>
  )
}
