export { type PostgresCheckpointsOptions, postgresCheckpoints } from './checkpoints.ts'
export { type CheckpointsVersion, postgresCheckpointsVersion } from './checkpoints-version.ts'
export type { PgCallbackPool, PgClient, PgPool, PgResult } from './client.ts'
export type { CommandedEvent } from './commanded/load.ts'
export type { CommandedEventsOptions } from './commanded/options.ts'
export { commandedEvents } from './commanded/source.ts'
export { postgresConsumers } from './consumers.ts'
export type { PostgresConsumersOptions } from './consumers-options.ts'
export {
  CommitPendingError,
  CommitRefusedError,
  ConnectionLostError,
  ConsumersUnreadableError,
  NoConnectionError,
  NotPrimaryError,
  PartitionsChangedError,
  type PostgresCondition,
  PostgresConditionError,
  PreparedStatementLostError,
  QueryTimeoutError,
  TransactionFailedError,
  TransactionLeftOpenError,
  TransactionPendingError,
  TransactionTimedOutError,
  WakeUpsUnavailableError,
} from './errors.ts'
export {
  type ExaminedHolder,
  type ExamineHoldersOptions,
  examineHolders,
} from './examine-holders.ts'
export { postgresCheckpointsSql } from './migrations/migrations.ts'
export {
  POSTGRES_EVENTS_DEFAULTS,
  type PostgresEventsOptions,
  type PostgresRow,
  type TraceColumn,
  type WakeUpsOption,
} from './options.ts'
export { type AxonOptions, axon } from './presets/axon.ts'
export { commanded } from './presets/commanded.ts'
export { emmett } from './presets/emmett.ts'
export { type EventuousOptions, eventuous } from './presets/eventuous.ts'
export { type MartenOptions, marten } from './presets/marten.ts'
export { messageDb } from './presets/message-db.ts'
export type { Preset, PresetOptions } from './presets/preset.ts'
export { transactionPairs } from './presets/transaction-pairs.ts'
export { postgresEvents, watchedPostgresEvents } from './source.ts'
export { isTransientPostgresError } from './transience.ts'
export type { WatchedPostgresEventsOptions } from './watched-options.ts'

// About tables and readers that Tidemark does not run.

export type { CommitAudit } from './audit/answer.ts'
export { auditCommits } from './audit/audit-commits.ts'
export { formatAudit } from './audit/format-audit.ts'
export type { Inversion, Inversions } from './audit/inversions.ts'
export type { Live } from './audit/live.ts'
export { AUDIT_COMMITS_DEFAULTS, type AuditCommitsOptions, type AuditProgress } from './audit/options.ts'
export type { LeftOut } from './audit/page-sql.ts'
export type { BehindXmin, Past } from './audit/past.ts'
export { type Diagnosis, diagnose } from './diagnose/diagnose.ts'
export type { Finding, FindingCode, Severity } from './diagnose/finding.ts'
export { formatDiagnosis } from './diagnose/format-diagnosis.ts'
export type { OpenTransaction } from './diagnose/open-transactions.ts'
export { DIAGNOSE_DEFAULTS, type DiagnoseOptions } from './diagnose/options.ts'
export type { RecognisedStore, StoreName } from './diagnose/stores.ts'
