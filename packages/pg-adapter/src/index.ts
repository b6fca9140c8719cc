export { type PostgresCheckpointsOptions, postgresCheckpoints } from './checkpoints.ts'
export type { PgCallbackPool, PgClient, PgPool, PgResult } from './client.ts'
export {
  CommitPendingError,
  CommitRefusedError,
  ConnectionLostError,
  NoConnectionError,
  NotPrimaryError,
  PartitionsChangedError,
  type PostgresCondition,
  PostgresConditionError,
  QueryTimeoutError,
  TransactionFailedError,
  TransactionLeftOpenError,
  TransactionPendingError,
  TransactionTimedOutError,
} from './errors.ts'
export { postgresCheckpointsSql } from './migrations/migrations.ts'
export { POSTGRES_EVENTS_DEFAULTS, type PostgresEventsOptions, type PostgresRow } from './options.ts'
export { postgresEvents } from './source.ts'
export { isTransientPostgresError } from './transience.ts'
