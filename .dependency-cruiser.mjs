// Which way imports may go, types included. ARCHITECTURE.md says what each room is for; `pnpm check` runs this.

const core = 'packages/core/src'
const postgres = 'packages/pg-adapter/src'

/** What every part of the Postgres adapter may use: names, errors, connections, transactions, statements, options. */
const POSTGRES_FLOOR =
  '(identifiers|errors|sql-state|client|query-timeout|transaction|statement|kept-statements|statement-name|message|options|append-time)[.]ts$'

/**
 * Files below `from` import nothing of `within` but `allowed`. `$1` in `allowed` stands for what the first group of `from`
 * has matched.
 */
const only = (name, comment, from, within, allowed) => ({
  name,
  comment,
  severity: 'error',
  from: { path: `^${from}` },
  to: { path: `^${within}/`, pathNot: allowed.map((path) => `^${within}/${path}`) },
})

const never = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to })

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    never('no-cycle', 'No two files need each other, not even for types.', {}, { circular: true }),
    never('no-unresolved', 'What cannot be found cannot be judged.', {}, { couldNotResolve: true }),
    never(
      'packages-stand-alone',
      'Packages import nothing of tests, benchmarks, examples or the dashboard.',
      { path: '^packages/' },
      { path: '^(test|bench|examples|monitoring)/' },
    ),
    never(
      'core-knows-no-package',
      'Adapters import core, core imports none of them.',
      { path: `^${core}/` },
      { path: '^packages/', pathNot: `^${core}/` },
    ),
    never(
      'adapters-know-core-alone',
      'Adapters never import each other.',
      { path: '^packages/([^/]*-adapter)/' },
      { path: '^packages/', pathNot: ['^packages/$1/', '^packages/core/'] },
    ),
    never(
      'core-by-its-entry-points',
      'What an adapter needs of core is exported: no file of core is imported by its path.',
      { path: '^packages/([^/]*-adapter|cli|console)/' },
      { path: `^${core}/` },
    ),
    never(
      'cli-asks-through-an-adapter',
      'The terminal program has no SQL of its own: it uses what an adapter exports, and says the words of the console.',
      { path: '^packages/cli/' },
      { path: '^packages/', pathNot: ['^packages/cli/', '^packages/(core|pg-adapter|console)/dist/'] },
    ),
    never(
      'console-asks-through-an-adapter',
      'The console has no SQL of its own either.',
      { path: '^packages/console/' },
      { path: '^packages/', pathNot: ['^packages/console/', '^packages/(core|pg-adapter)/dist/'] },
    ),
    never(
      'console-under-the-terminal-alone',
      'No other package is built on the console.',
      { path: '^packages/', pathNot: '^packages/(cli|console)/' },
      { path: '^packages/console/' },
    ),
    never(
      'status-stands-alone',
      'What the database says is read and judged without a server.',
      { path: '^packages/console/src/status/' },
      { path: '^packages/console/src/', pathNot: '^packages/console/src/status/' },
    ),
    never(
      'cli-on-top',
      'Nothing is built on the terminal program.',
      { path: '^packages/', pathNot: '^packages/cli/' },
      { path: '^packages/cli/' },
    ),
    never(
      'core-has-no-driver',
      'Core needs no package; each backend of telemetry imports its own.',
      {
        path: `^${core}/`,
        pathNot: `^${core}/telemetry/(opentelemetry|prom-client|prom-client-recorder|api-tracing|span-links|background)[.]ts$`,
      },
      { path: '/node_modules/', pathNot: '/node_modules/@types/node/' },
    ),
    never(
      'no-entry-point-within',
      'Entry points are for users: inside a package the file that has it is imported.',
      { path: '^packages/([^/]+)/src/' },
      { path: '^packages/$1/src/(index|adapter|testing/index|operations/index)[.]ts$' },
    ),

    only('kernel', 'The kernel imports nothing of core but itself.', `${core}/kernel/`, core, ['kernel/']),
    only('ports', 'Ports use the kernel.', `${core}/ports/`, core, ['kernel/', 'ports/']),
    only(
      'rooms-apart',
      'Only projection and daemon put rooms together; a room imports itself, kernel, ports and telemetry.',
      `${core}/(high-water|reading|failures|ownership|rebuild|late|progress)/`,
      core,
      ['$1/', 'kernel/', 'ports/', 'telemetry/'],
    ),
    only(
      'watch',
      'A watch polls its source by itself: it imports the polls too, and nothing that runs projections.',
      `${core}/watch/`,
      core,
      ['watch/', 'kernel/', 'ports/', 'telemetry/', 'high-water/'],
    ),
    only('subscription', 'What monitors a handler over a table is a watch.', `${core}/subscription/`, core, [
      'subscription/',
      'kernel/',
      'ports/',
      'telemetry/',
      'watch/',
    ]),
    only(
      'telemetry-reads-words',
      'Telemetry is used by every room. Of what it reports on it knows the words alone: states and failures.',
      `${core}/telemetry/`,
      core,
      ['telemetry/', 'kernel/', 'ports/', '[^/]+/status[.]ts$', 'failures/classify[.]ts$'],
    ),
    only(
      'operations-through-ports',
      'Operations work without a daemon: all that they know of the rest is in the ports.',
      `${core}/operations/`,
      core,
      ['operations/', 'kernel/', 'ports/'],
    ),
    only(
      'health-reads-words',
      'Health judges what a daemon shows: it knows the same words, and asks nothing.',
      `${core}/health/`,
      core,
      ['health/', 'kernel/', 'ports/', '[^/]+/status[.]ts$', 'failures/classify[.]ts$'],
    ),
    only(
      'words-are-free',
      'What telemetry reads of a room reports nothing itself.',
      `${core}/([^/]+)/(status|classify)[.]ts$`,
      core,
      ['$1/', 'kernel/', 'ports/', 'failures/classify[.]ts$'],
    ),
    only(
      'projection',
      'A projection puts reading, failures and ownership together, behind the mark.',
      `${core}/projection/`,
      core,
      [
        'projection/',
        'kernel/',
        'ports/',
        'telemetry/',
        'high-water/',
        'reading/',
        'failures/',
        'ownership/',
        'rebuild/',
      ],
    ),
    never(
      'daemon-on-top',
      'Nothing is built on the daemon but what users call, and what tests a store with one.',
      { path: `^${core}/`, pathNot: [`^${core}/(daemon|testing)/`, `^${core}/[^/]+[.]ts$`] },
      { path: `^${core}/daemon/` },
    ),
    never(
      'testing-on-top',
      'What is for tests is imported by nothing else.',
      { path: `^${core}/`, pathNot: `^${core}/testing/` },
      { path: `^${core}/testing/` },
    ),

    only('postgres-server', 'What is known of the server knows no proof.', `${postgres}/server/`, postgres, [
      'server/',
      POSTGRES_FLOOR,
    ]),
    only('postgres-proof', 'The proof knows the server, and no port.', `${postgres}/proof/`, postgres, [
      'proof/',
      'server/',
      POSTGRES_FLOOR,
    ]),
    only(
      'postgres-floor',
      'What every part uses imports none of them.',
      `${postgres}/${POSTGRES_FLOOR}`,
      postgres,
      [POSTGRES_FLOOR],
    ),
    only(
      'postgres-migrations',
      'Migrations make tables, and read no events.',
      `${postgres}/migrations/`,
      postgres,
      ['migrations/', POSTGRES_FLOOR],
    ),
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.base.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: ['node_modules', '/dist/'] },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import'] },
  },
}
