import type { JSX } from 'preact'
import type { Tone } from '../pure/states.ts'

export function State({
  is,
  tone,
  title,
}: {
  readonly is: string
  readonly tone: Tone
  readonly title?: string
}): JSX.Element {
  return (
    <span class={`state ${tone}`} title={title}>
      {is}
    </span>
  )
}
