import type { CallFilter, CallKind } from './steering.ts'

export interface CallIdentity {
  readonly kind: CallKind
  readonly stream: string
  /** Of a persistent subscription; otherwise empty. */
  readonly group: string
}

export function fits({ kind, stream }: CallFilter, call: CallIdentity): boolean {
  return (kind === undefined || kind === call.kind) && (stream === undefined || stream === call.stream)
}
