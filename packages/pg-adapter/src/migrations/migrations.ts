import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import { quoteIdentifier } from '../identifiers.ts'

/** Numbered, append-only: a released migration is never edited. */
export interface Migration {
  readonly version: number
  readonly sql: (schema: string) => string
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: (schema) => `create table ${schema}.checkpoints (
  projection text primary key,
  source text not null,
  position text,
  settled text,
  incarnation text,
  log_position text,
  started_at_head text,
  skipped jsonb not null default '{}',
  updated_at timestamptz not null default now()
);
comment on table ${schema}.checkpoints is 'Tidemark: one row per projection, locked while it works';
comment on column ${schema}.checkpoints.position is 'the last position durably processed; NULL before the first';
comment on column ${schema}.checkpoints.settled is 'how far the store was proven when this was written, in that incarnation';
comment on column ${schema}.checkpoints.skipped is 'positions passed without proof, by reason, in total';
create table ${schema}.settled (
  source text primary key,
  settled text,
  incarnation text,
  log_position text,
  updated_at timestamptz not null default now()
);
comment on table ${schema}.settled is 'Tidemark: how far each source was proven when nothing was projected meanwhile';
create table ${schema}.skips (
  source text not null,
  current numeric not null,
  stored numeric not null,
  count numeric not null,
  recorded_at timestamptz not null default now(),
  primary key (source, current)
);
comment on table ${schema}.skips is 'Tidemark: runs of positions that a mark passed without proof (stale-threshold mode)';`,
  },
  {
    version: 2,
    // Whoever has stored a checkpoint before has the whole of version 1.
    sql: (schema) => `alter table ${schema}.checkpoints
  add column version int not null default 1,
  add column slot_from int not null default 0,
  add column slot_to int not null default 1023,
  drop constraint checkpoints_pkey,
  add primary key (projection, version, slot_from, slot_to);
comment on table ${schema}.checkpoints is 'Tidemark: one row per unit (projection, version, range of slots), locked while it works';
comment on column ${schema}.checkpoints.started_at_head is 'the head of the source when the unit first started';`,
  },
  {
    version: 3,
    sql: (schema) => `alter table ${schema}.checkpoints
  add column desired text not null default 'running',
  add column desired_by text,
  add column desired_why text,
  add column desired_since timestamptz;
comment on column ${schema}.checkpoints.desired is 'what an operator wants of the unit: running or paused';
create table ${schema}.audit (
  id bigint generated always as identity primary key,
  source text not null,
  projection text not null,
  version int not null,
  slot_from int not null,
  slot_to int not null,
  operation text not null,
  who text not null,
  why text not null,
  at timestamptz not null default clock_timestamp(),
  before jsonb not null,
  after jsonb
);
create index on ${schema}.audit (projection, id);
comment on table ${schema}.audit is 'Tidemark: what operators did to units, one row each; after is NULL where a unit was forgotten';`,
  },
  {
    version: 4,
    sql: (schema) => `create table ${schema}.dead_letters (
  id bigint generated always as identity primary key,
  projection text not null,
  version int not null,
  source text not null,
  first_position text not null,
  last_position text not null,
  events int not null,
  event_types text[] not null,
  stage text not null,
  error json not null,
  tries int not null,
  key text,
  node text not null,
  buried_at timestamptz not null default clock_timestamp(),
  closed_as text,
  closed_why text,
  closed_by text,
  closed_at timestamptz,
  open_id bigint generated always as (case when closed_as is null then id end) stored
);
create index dead_letters_open on ${schema}.dead_letters (projection, version, open_id) where open_id is not null;
create index dead_letters_of_projection on ${schema}.dead_letters (projection, id);
comment on table ${schema}.dead_letters is 'Tidemark: events that a policy gave up; the events themselves are in the source';
comment on column ${schema}.dead_letters.closed_as is 'resolved or discarded; NULL while it is open';
comment on column ${schema}.dead_letters.open_id is 'the id while it is open: no other index has this order, so that none is taken for it';
create table ${schema}.dead_letter_counts (
  projection text not null,
  version int not null,
  open bigint not null,
  primary key (projection, version)
);
comment on table ${schema}.dead_letter_counts is 'Tidemark: how many dead letters are open, kept as they come and go';`,
  },
  {
    version: 5,
    sql: (schema) => `alter table ${schema}.checkpoints add column role text not null default 'live';
create unique index checkpoints_live on ${schema}.checkpoints (projection, slot_from, slot_to) where role = 'live';
comment on column ${schema}.checkpoints.role is 'live, beside or retired: of the versions of a projection one is live';`,
  },
  {
    version: 6,
    sql: (schema) => `alter table ${schema}.dead_letters
  add column retry_asked_at timestamptz,
  add column retry_asked_by text,
  add column retry_asked_why text,
  add column asked_id bigint generated always as (case when closed_as is null and retry_asked_at is not null then id end) stored;
create index dead_letters_asked on ${schema}.dead_letters (projection, version, asked_id) where asked_id is not null;
create index dead_letters_of_key on ${schema}.dead_letters (projection, version, key, open_id)
  where key is not null and open_id is not null;
comment on column ${schema}.dead_letters.closed_as is 'resolved, discarded or retried; NULL while it is open';
comment on column ${schema}.dead_letters.asked_id is 'the id while it is open and a retry of it is asked for';`,
  },
  {
    version: 7,
    sql: (schema) => `alter table ${schema}.skips add column held_by jsonb;
create index skips_recorded on ${schema}.skips (source, recorded_at, current);
comment on column ${schema}.skips.held_by is 'transactions that had written and were open when the run was passed';
create table ${schema}.late_events (
  source text not null,
  position numeric not null,
  type text,
  passed_as text not null,
  passed_at timestamptz,
  found_at timestamptz not null default clock_timestamp(),
  primary key (source, position)
);
create index late_events_found on ${schema}.late_events (source, found_at);
comment on table ${schema}.late_events is 'Tidemark: events that became visible where a mark had passed already';
create table ${schema}.late_event_units (
  projection text not null,
  version int not null,
  slot_from int not null,
  slot_to int not null,
  source text not null,
  position numeric not null,
  opened_at timestamptz not null default clock_timestamp(),
  asked_by text,
  asked_why text,
  asked_at timestamptz,
  failures int not null default 0,
  error text,
  closed_as text,
  closed_by text,
  closed_why text,
  closed_at timestamptz,
  primary key (projection, version, slot_from, slot_to, source, position)
);
create index late_event_units_open on ${schema}.late_event_units (source, projection, version, slot_from, slot_to, position)
  where closed_as is null;
comment on table ${schema}.late_event_units is 'Tidemark: what has become of late events, for each unit that has passed them';
comment on column ${schema}.late_event_units.closed_as is 'in_order, on_late_event, reprocessed, discarded or not_wanted; NULL while it is open';`,
  },
  {
    version: 8,
    sql: (schema) => `alter table ${schema}.checkpoints
  add column session text,
  add column begun_at timestamptz,
  add column suspicion jsonb;
comment on column ${schema}.checkpoints.session is 'the run of a daemon that works on the unit; NULL after a clean end';
comment on column ${schema}.checkpoints.begun_at is 'when session or suspicion were last written before any work';
comment on column ${schema}.checkpoints.suspicion is 'which events may have ended a process, and how often; NULL where none is suspected';`,
  },
  {
    version: 9,
    sql: (schema) => `alter table ${schema}.checkpoints
  add column asked jsonb,
  add column answered jsonb;
comment on column ${schema}.checkpoints.asked is 'what the node that runs the unit is asked to do';
comment on column ${schema}.checkpoints.answered is 'the last such request that has ended';
alter table ${schema}.audit
  add column request text,
  add column refused text;
comment on column ${schema}.audit.refused is 'why what was asked was not done; NULL where it was';`,
  },
  {
    version: 10,
    sql: (schema) => `alter table ${schema}.dead_letters
  add column skipped_by text,
  add column skipped_why text;
comment on column ${schema}.dead_letters.skipped_by is 'the operator who has asked for it; NULL where onFailure decided';`,
  },
  {
    version: 11,
    sql: (schema) => `alter table ${schema}.checkpoints add column furthest text;
comment on column ${schema}.checkpoints.furthest is 'how far the live version had come before it was moved back; NULL where it never was';`,
  },
  {
    version: 12,
    sql: (schema) => `create table ${schema}.lost_events (
  source text not null,
  consumer text not null,
  incarnation text not null,
  position numeric not null,
  verdict text not null,
  type text,
  checkpoint text not null,
  missing_at timestamptz,
  visible_at timestamptz not null,
  held_by jsonb not null,
  traceparent text,
  recorded_at timestamptz not null default clock_timestamp(),
  claimed_at timestamptz not null default clock_timestamp(),
  told_at timestamptz,
  primary key (source, consumer, incarnation, position)
);
create index lost_events_recorded on ${schema}.lost_events (source, recorded_at, position);
create index lost_events_untold on ${schema}.lost_events (source, claimed_at) where told_at is null;
comment on table ${schema}.lost_events is 'Tidemark: events that watched consumers have lost, each once';
comment on column ${schema}.lost_events.checkpoint is 'how far the consumer had gone without the event';
comment on column ${schema}.lost_events.missing_at is 'the last look that did not show the event, NULL where there was none; visible_at is the first one that did';
comment on column ${schema}.lost_events.claimed_at is 'when a watch took it on itself to tell of it';
comment on column ${schema}.lost_events.told_at is 'when that was done; NULL before';
create table ${schema}.lost_event_totals (
  source text not null,
  consumer text not null,
  verdict text not null,
  events bigint not null,
  primary key (source, consumer, verdict)
);
comment on table ${schema}.lost_event_totals is 'Tidemark: how many lost events were recorded, kept as they come';`,
  },
  {
    version: 13,
    sql: (schema) => `alter table ${schema}.checkpoints add column effects text;
comment on column ${schema}.checkpoints.effects is 'always or live_only, as who worked on the unit last has said; NULL where nobody has';
comment on column ${schema}.dead_letters.closed_as is 'resolved, discarded, retried or replayed; NULL while it is open';`,
  },
  {
    version: 14,
    sql: (schema) => `create table ${schema}.passed_positions (
  source text not null,
  consumer text not null,
  incarnation text not null,
  event_types jsonb,
  runs jsonb not null,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (source, consumer)
);
comment on table ${schema}.passed_positions is 'Tidemark: what monitored handlers have gone past and were not given, for the next process';
comment on column ${schema}.passed_positions.event_types is 'what the handler is given; NULL where nobody has said that';`,
  },
  {
    version: 15,
    // A row of either table changes in place for as long as its page has room: no index has a column that changes.
    sql: (schema) => `alter table ${schema}.checkpoints
  add column owner text,
  add column fence bigint not null default 0;
alter table ${schema}.checkpoints set (fillfactor = 50);
comment on column ${schema}.checkpoints.owner is 'the node that may move it, for as long as that is alive; NULL where none has it';
comment on column ${schema}.checkpoints.fence is 'greater with each owner: it moves only under the newest';
create table ${schema}.nodes (
  id text primary key,
  name text not null,
  source text not null,
  capacity double precision not null,
  units text[] not null,
  desired text not null default 'open',
  is_leaving boolean not null,
  has_left boolean not null default false,
  expires_at timestamptz not null,
  presence_pid int,
  presence_start timestamptz
) with (fillfactor = 20);
comment on table ${schema}.nodes is 'Tidemark: the processes that share projections, each alive until expires_at';
comment on column ${schema}.nodes.presence_pid is 'a server process that ends with the node; NULL where there is none';`,
  },
  {
    version: 16,
    sql: (schema) => `alter table ${schema}.dead_letters
  add column slot_from int not null default 0,
  add column slot_to int not null default 1023;
comment on column ${schema}.dead_letters.slot_from is 'slot_from and slot_to: those of the shard that gave them up';`,
  },
  {
    version: 17,
    sql: (schema) => `alter table ${schema}.nodes
  add column desired_by text,
  add column desired_why text,
  add column desired_since timestamptz;
comment on column ${schema}.nodes.desired is 'what an operator wants of the node: open, cordoned or draining';
create table ${schema}.node_audit (
  id bigint generated always as identity primary key,
  source text not null,
  node text not null,
  runs text[] not null,
  desired text not null,
  who text not null,
  why text not null,
  at timestamptz not null default clock_timestamp()
);
comment on table ${schema}.node_audit is 'Tidemark: what operators wanted of nodes, one row for each source';`,
  },
  {
    version: 18,
    sql: (schema) => `alter table ${schema}.nodes
  add column unable text[] not null default '{}';
comment on column ${schema}.nodes.unable is 'those of its units that it cannot work on for the time being';`,
  },
  {
    version: 19,
    sql: (schema) => `alter table ${schema}.checkpoints
  add column bound text,
  add column bound_until timestamptz;
comment on column ${schema}.checkpoints.bound is 'how far it is to come until bound_until, to meet other shards there; NULL: as far as there are events';`,
  },
  {
    version: 20,
    // A table of its own: an owner's row is locked while it works, and is small.
    sql: (schema) => `create table ${schema}.projection_failures (
  projection text not null,
  version int not null,
  slot_from int not null,
  slot_to int not null,
  position text,
  stage text not null,
  batch json,
  error json not null,
  failures bigint not null,
  is_paused boolean not null,
  node text not null,
  since timestamptz not null default clock_timestamp(),
  told_at timestamptz not null default clock_timestamp(),
  is_over boolean not null default false,
  primary key (projection, version, slot_from, slot_to)
) with (fillfactor = 50);
comment on table ${schema}.projection_failures is 'Tidemark: what failed last at each unit; of no meaning once its checkpoint has left that position';
comment on column ${schema}.projection_failures.position is 'where the checkpoint stood; NULL: before the first';
comment on column ${schema}.projection_failures.failures is 'how often it has failed there since the column since';`,
  },
]

export const LATEST_VERSION: number = MIGRATIONS.reduce((latest, { version }) => Math.max(latest, version), 0)

interface CheckpointsSqlOptions {
  /**
   * Where Tidemark's own tables are to be made.
   * - Change it when: `postgresCheckpoints` has another `schema`. Both have to name the same one.
   * @default 'tidemark'
   */
  readonly schema?: string
  /**
   * The version of the tables that are there, the greatest one in the table `migrations`: only what is newer is printed.
   * - Raising it: less is printed; what is missing below stays missing.
   * - Lowering it: more is printed; what is there already fails when it is run.
   * - Change it when: an earlier version of Tidemark has made the tables.
   * @unit version
   * @default 0: there are none, and everything is printed
   */
  readonly from?: number
}

const CHECKPOINTS_SQL_OPTIONS: Readonly<Record<keyof CheckpointsSqlOptions, true>> = {
  schema: true,
  from: true,
}

/** What `prepare()` runs, for those who run their own migrations. */
export function postgresCheckpointsSql(options: CheckpointsSqlOptions = {}): string {
  requireKnownOptions(options, CHECKPOINTS_SQL_OPTIONS)
  const schema = quoteIdentifier(options.schema ?? 'tidemark')
  const { from = 0 } = options
  if (!Number.isInteger(from) || from < 0 || from > LATEST_VERSION) {
    throw new InvalidOptionError('from', `a version of the tables, from 0 to ${LATEST_VERSION}`, from)
  }
  return [
    ...(from === 0 ? [`create schema if not exists ${schema};`, createVersions(schema)] : []),
    ...MIGRATIONS.filter(({ version }) => version > from).map(
      (migration) => `${insertVersion(schema, migration)}\n${migration.sql(schema)}`,
    ),
  ].join('\n')
}

export function createVersions(schema: string): string {
  return `create table if not exists ${schema}.migrations (
  version int primary key,
  applied_at timestamptz not null default now()
);`
}

/** Of which version the tables are that are there, as the column `version`; 0: there is the table of versions alone. */
export function appliedVersionSql(schema: string): string {
  return `select coalesce(max(version), 0)::text as version from ${schema}.migrations`
}

/** Written first, so that of two processes racing one fails here, before it has done anything. */
export function insertVersion(schema: string, { version }: Migration): string {
  return `insert into ${schema}.migrations (version) values (${version});`
}
