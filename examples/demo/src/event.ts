import type { PostgresRow } from '@tidemark/pg-adapter'
import type { Random } from './random.ts'

/** What happens to the accounts of a small bank. */
export interface AccountEvent {
  readonly position: bigint
  readonly type: EventType
  readonly account: number
  readonly amount: number
}

export type EventType = 'deposited' | 'withdrawn' | 'transferred' | 'refunded' | 'disputed'

export type NewEvent = Omit<AccountEvent, 'position'>

/** Withdrawals are usual, disputes are not. */
const TYPES: readonly [EventType, ...EventType[]] = [
  'deposited',
  'deposited',
  'withdrawn',
  'withdrawn',
  'withdrawn',
  'withdrawn',
  'transferred',
  'transferred',
  'refunded',
  'disputed',
]
const ACCOUNTS = 500

export function newEvent(random: Random): NewEvent {
  return {
    type: random.oneOf(TYPES),
    account: random.between(1, ACCOUNTS),
    amount: random.between(1, 10_000),
  }
}

export function toAccountEvent(row: PostgresRow, position: bigint): AccountEvent {
  return {
    position,
    type: row.type as EventType,
    account: Number(row.account),
    amount: Number(row.amount),
  }
}
