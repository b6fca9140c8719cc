export { type PostgresCheckpointsOptions, postgresCheckpoints } from './checkpoints.ts'
export type { PgClient, PgPool, PgResult } from './client.ts'
export {
  CommitRefusedError,
  isTransientPostgresError,
  NotPrimaryError,
  type PostgresCondition,
  PostgresConditionError,
  ProjectionSourceError,
  QueryTimeoutError,
  TransactionFailedError,
  TransactionLeftOpenError,
} from './errors.ts'
export { postgresCheckpointsSql } from './migrations/migrations.ts'
export { POSTGRES_EVENTS_DEFAULTS, type PostgresEventsOptions, type PostgresRow } from './options.ts'
export { postgresEvents } from './source.ts'
