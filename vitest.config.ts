import { fileURLToPath } from 'node:url'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { DEFAULT_MAJOR, MAJORS, type Major } from './packages/embedded-postgres/src/majors.ts'
import type { GenerationName } from './test/support/esdb-server/generations.ts'

const source = (path: string) => fileURLToPath(new URL(`packages/${path}`, import.meta.url))

// The settlement model runs for as long as it is told to.
const modelSeconds = Number(process.env.TIDEMARK_MODEL_SECONDS ?? 120)

// And so does the chaos of several nodes.
const chaosMinutes = Number(process.env.TIDEMARK_CHAOS_MINUTES ?? 2)

// Suites that `pnpm test` leaves out have scripts of their own, and names that begin with `extra-`.
const MODEL = '**/*.model.test.ts'
const FAULTS = '**/*.faults.test.ts'
const PGBOUNCER = '**/*.pgbouncer.test.ts'
const NODES = '**/*.nodes.test.ts'

// Instruments a driver before anything else of its process has loaded that.
const INSTRUMENTED = '**/instrumented.test.ts'

/** Tests that use the server of the run, see test/support/database.ts. */
const onPostgres = (
  name: string,
  include: string[],
  exclude: string[] = [MODEL, FAULTS, PGBOUNCER, NODES],
  major: Major = DEFAULT_MAJOR,
): TestProjectInlineConfiguration => ({
  extends: true,
  test: {
    name,
    include,
    exclude,
    globalSetup: ['test/support/postgres-server.ts'],
    env: { TIDEMARK_POSTGRES_MAJOR: String(major) },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})

/** A project for each client of EventStoreDB and KurrentDB: in one process they clash on a global. */
const onEsdb = (
  name: string,
  client: 'eventstore' | 'kurrentdb',
  include: string[],
  exclude: string[] = [FAULTS],
  env: Record<string, string> = {},
): TestProjectInlineConfiguration => {
  const project = onPostgres(name, include, exclude)
  return {
    ...project,
    test: { ...project.test, env: { ...project.test?.env, TIDEMARK_ESDB_CLIENT: client, ...env } },
  }
}

// Generations of servers differ in their subscriptions alone: only what subscribes can depend on them. 24.2 differs from the
// newest in what it says of itself and in a filter's checkpoints; 23.10 also ends subscriptions. What is the same test of
// every generation (generations.test.ts) runs with the newest.
const WRAPPING = [
  'test/esdb-adapter/subscriptions/wrapping.test.ts',
  'test/esdb-adapter/server/{faults,filters,links,subscriptions,truncation}.test.ts',
]
const ESDB_GENERATIONS: readonly (readonly [GenerationName, string[]])[] = [
  ['24.2', WRAPPING],
  ['23.10', [...WRAPPING, 'test/esdb-adapter/{conformance,daemon,wake-ups,chaos/faults}.test.ts']],
]
const ESDB_CLIENTS = ['eventstore', 'kurrentdb'] as const

// What the tests' own server does is told by one client; the other one tells it in `extra-esdb-server`.
const ESDB_SERVER = 'test/esdb-adapter/server/**/*.test.ts'

// The oldest and the newest server run every test. Those between run what reads catalogs and activity, keeps plans, hashes keys, reads
// the log's positions, or meets a setting that not every major has: whatever else they break, one of the two ends has broken before.
const OLDEST_MAJOR = MAJORS[0]
const BY_MAJOR = [
  'test/pg-adapter/conditions/*.test.ts',
  'test/pg-adapter/checkpoints/{kept-moves,migrations,ownership,transactions}.test.ts',
  'test/pg-adapter/{audit,diagnose}/*.test.ts',
  'test/pg-adapter/dead-letters/table.test.ts',
  'test/pg-adapter/{altered-table,append-times,attached,columns,holders,kept-plans,page-bytes,pages}.test.ts',
  'test/pg-adapter/{partitions-made,polls,query-plans,replaced,resume,rewinds,sequence-changes,shared-positions}.test.ts',
  'test/pg-adapter/{slots,stale-threshold,tails,taken-ahead,timeouts,transactions-left-open,wake-ups,watch}.test.ts',
]

/** For tests that wait for servers and processes to come and go, on a machine that may be busy. */
const patient = (
  project: TestProjectInlineConfiguration,
  testTimeout: number,
): TestProjectInlineConfiguration => ({
  ...project,
  test: { ...project.test, testTimeout },
})

/** What the browser is given is made first, of the sources. */
const onBrowser = (project: TestProjectInlineConfiguration): TestProjectInlineConfiguration => ({
  ...project,
  test: {
    ...project.test,
    globalSetup: ['test/support/postgres-server.ts', 'test/console/browser/assets.ts'],
  },
})

/** Files that share processes: what they import is loaded once, which was half of the time of many. */
const together = (project: TestProjectInlineConfiguration): TestProjectInlineConfiguration => {
  const { exclude = [], ...test } = project.test ?? {}
  const setupFiles = ['test/support/property-sizes.ts']
  return { ...project, test: { ...test, setupFiles, isolate: false, exclude: [...exclude, INSTRUMENTED] } }
}

export default defineConfig({
  resolve: {
    // Tests run on the sources; programs started as processes of their own run on what `tsc -b` made of them.
    alias: [
      { find: /^@tidemark\/core$/, replacement: source('core/src/index.ts') },
      { find: /^@tidemark\/core\/adapter$/, replacement: source('core/src/adapter.ts') },
      { find: /^@tidemark\/core\/operations$/, replacement: source('core/src/operations/index.ts') },
      { find: /^@tidemark\/core\/testing$/, replacement: source('core/src/testing/index.ts') },
      { find: /^@tidemark\/core\/prom-client$/, replacement: source('core/src/telemetry/prom-client.ts') },
      {
        find: /^@tidemark\/core\/opentelemetry$/,
        replacement: source('core/src/telemetry/opentelemetry.ts'),
      },
      { find: /^@tidemark\/pg-adapter$/, replacement: source('pg-adapter/src/index.ts') },
      { find: /^@tidemark\/console$/, replacement: source('console/src/index.ts') },
      { find: /^@tidemark\/console\/status$/, replacement: source('console/src/status/index.ts') },
      { find: /^@tidemark\/esdb-adapter$/, replacement: source('esdb-adapter/src/index.ts') },
      {
        find: /^@tidemark-internal\/embedded-postgres$/,
        replacement: source('embedded-postgres/src/index.ts'),
      },
    ],
  },
  test: {
    reporters: ['default', './test/support/plain-reporter.ts'],
    // Three on two cores, as most tests wait for servers and processes. One file after the other on a server that all of
    // them share: some restart it.
    maxWorkers: process.env.ESDB_CONNECTION_STRING === undefined ? 3 : 1,
    projects: [
      together({
        extends: true,
        test: {
          name: 'core',
          include: ['test/core/**/*.test.ts'],
          exclude: [MODEL, FAULTS, PGBOUNCER],
          testTimeout: 60_000,
        },
      }),
      {
        extends: true,
        test: { name: 'model', include: [`test/${MODEL}`], testTimeout: (modelSeconds + 240) * 1000 },
      },
      together(onPostgres('pg-adapter', ['test/pg-adapter/**/*.test.ts'])),
      onPostgres('pg-adapter-instrumented', [`test/pg-adapter/${INSTRUMENTED}`]),
      together(onPostgres('presets', ['test/presets/**/*.test.ts'])),
      together(onEsdb('esdb-adapter-eventstore', 'eventstore', ['test/esdb-adapter/**/*.test.ts'])),
      together(
        onEsdb(
          'esdb-adapter-kurrentdb',
          'kurrentdb',
          ['test/esdb-adapter/**/*.test.ts'],
          [FAULTS, ESDB_SERVER],
        ),
      ),
      ...ESDB_CLIENTS.map((client) =>
        onEsdb(`esdb-adapter-${client}-instrumented`, client, [`test/esdb-adapter/${INSTRUMENTED}`]),
      ),
      onEsdb('extra-esdb-server', 'kurrentdb', [ESDB_SERVER]),
      together(onPostgres('conformance', ['test/conformance/**/*.test.ts'])),
      together(patient(onPostgres('chaos', ['test/chaos/**/*.test.ts']), 180_000)),
      together(onPostgres('cli', ['test/cli/**/*.test.ts'])),
      together(onPostgres('console', ['test/console/{,page/}*.test.ts'])),
      onPostgres('demo', ['test/demo/**/*.test.ts']),
      onPostgres('monitoring', ['test/monitoring/**/*.test.ts']),
      onPostgres('support', ['test/support/**/*.test.ts']),
      patient({ extends: true, test: { name: 'packages', include: ['test/packages/**/*.test.ts'] } }, 60_000),
      patient(onPostgres('extra-faults', [`test/chaos/${FAULTS}`], []), 600_000),
      patient(onEsdb('extra-faults-eventstore', 'eventstore', [`test/esdb-adapter/${FAULTS}`], []), 600_000),
      patient(onEsdb('extra-faults-kurrentdb', 'kurrentdb', [`test/esdb-adapter/${FAULTS}`], []), 600_000),
      onBrowser(patient(onPostgres('extra-browser', ['test/console/browser/*.test.ts']), 180_000)),
      onPostgres('extra-pgbouncer', [`test/${PGBOUNCER}`], []),
      patient(onPostgres('extra-examples', ['test/examples/**/*.test.ts']), 180_000),
      patient(onPostgres('extra-nodes', [`test/chaos/${NODES}`], []), (chaosMinutes + 20) * 60_000),
      ...ESDB_GENERATIONS.flatMap(([generation, files]) =>
        ESDB_CLIENTS.map((client) =>
          onEsdb(`extra-esdb-${generation}-${client}`, client, files, undefined, {
            TIDEMARK_ESDB_GENERATION: generation,
          }),
        ),
      ),
      // The newest is the one of `pnpm test`.
      ...MAJORS.filter((major) => major !== DEFAULT_MAJOR).map((major) =>
        together(
          onPostgres(
            `extra-postgres-${major}`,
            major === OLDEST_MAJOR ? ['test/pg-adapter/**/*.test.ts'] : BY_MAJOR,
            undefined,
            major,
          ),
        ),
      ),
    ],
  },
})
