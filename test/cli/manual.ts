import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { EXIT, EXIT_MEANINGS } from '../../packages/cli/src/exit-codes.ts'

/** `docs/cli.md`: its words, the help of each command, and what the tests have seen the program print. */
export function manual(program: Command): string {
  const names = Object.keys(EXIT) as (keyof typeof EXIT)[]
  return `${[
    head(),
    '## Exit codes\n',
    '| code | what it says |\n| --- | --- |',
    ...names.map((name) => `| ${EXIT[name]} | ${EXIT_MEANINGS[name]} |`),
    '',
    output(),
    ...program.commands
      .filter((command) => command.name() !== 'complete')
      .flatMap((command) => section(command)),
  ].join('\n')}\n`
}

const golden = (name: string): string =>
  aligned(
    readFileSync(fileURLToPath(new URL(`golden/${name}`, import.meta.url)), 'utf8')
      .trimEnd()
      .split('\n'),
  ).join('\n')

const LEAST_COLUMNS = 5

/** Tables again, whose columns were as wide as what differs at each run. */
function aligned(lines: readonly string[]): readonly string[] {
  const rows = lines.map((line) => (line.startsWith(' ') ? [line] : line.split(/ {2,}/)))
  return lines.map((line, at) => {
    const own = rows[at] ?? []
    if (own.length < LEAST_COLUMNS) return line
    const table = rows.filter((row) => row.length === own.length)
    return own
      .map((cell, n) => cell.padEnd(Math.max(...table.map((row) => row[n]?.length ?? 0))))
      .join('  ')
      .trimEnd()
  })
}

const head = (): string => `# The terminal program

\`npx @tidemark/cli\`, or \`tidemark\` where the package is installed. It shows what stands, since when, why, who holds it, what is lost
or waits, and does what operators do. Use the version of your daemons. To look, to pause or to move, no daemon has to run. To skip, rebuild,
switch, retry or reprocess, one has to, since it does the work. It stands on [\`@tidemark/core/operations\`](operating.md), the
[watch](watch.md) and [\`diagnose\`](doctor.md), and sends no SQL of its own.

\`\`\`
export DATABASE_URL=postgres://user:password@host:5432/shop
npx @tidemark/cli status
\`\`\`

## At an alert

Begin with \`tidemark status\`: it says in words what is wrong, the worst first, and below each what to do.

| it shows | then |
| --- | --- |
| the mark stands | \`tidemark why\`: it prints the SQL that ends who holds it. Run that in psql |
| a projection fails | it says at which position, and why; mend the handler, or \`tidemark projections skip\` that position |
| a projection stands | it has told of no failure: see whether its daemon runs, and what its log says last |
| no daemon works on it | start a daemon that has it |
| no node has it | \`tidemark nodes\`. Wait for 10 s (\`leaseMs\`): others take over by themselves. If none does, start a process that has it, or \`tidemark nodes open\` one that was drained |
| a shard stands, as \`orders[512-1023]\` | the same as a projection. What you do to \`orders\` is done to all its shards; \`tidemark projections split\` cuts the one that is too slow |
| open dead letters | \`tidemark dead-letters list\`, then \`show\`; once the cause is mended, \`retry\` |
| it is paused | ask who has paused it, then \`tidemark projections resume\` |
| late events | \`tidemark late\`: it says what can be done about them |
| lost events | \`tidemark lost\` names them. No command brings them back: [consumer loses events](runbook.md#consumer-loses-events) |

If it cannot reach the database, it ends with 3: see [which database](#which-database). If it lacks a right, it says which: see [rights](#rights).

Four words. *Head*: the highest position that was handed out. *Settled*: up to here each position is visible, or proven empty. *Mark*: the last event
up to there, so what projections may read. What *stands* does not move although there is something to do. A projection that pauses by itself,
since it fails, *fails*. One that an operator has paused is *paused*. \`status\` ends with 1 for each of these.

## What it looks like

This is a shop whose importer has forgotten a transaction, and whose projections have troubles of their own:

\`\`\`
${golden('broken/status.txt')}
\`\`\`

\`tidemark why\` then says who holds the mark, and what ends that:

\`\`\`
${golden('broken/why.txt')}
\`\`\`

Here \`<time>\`, \`<pid>\` and \`<ms>\` stand for what differs at each run. This page is made of the program itself by
\`pnpm exec vitest run --project cli -u\`: change it there.

## Which database

In this order: \`--database-url\`, the variable \`DATABASE_URL\`, \`databaseUrl\` in a \`tidemark.config\`, and the variables of PostgreSQL's own
programs (\`PGHOST\`, \`PGPORT\`, \`PGDATABASE\`, \`PGUSER\`, \`PGPASSWORD\`). A password on the command line is seen by whoever may list
processes: prefer a variable.

\`tidemark.config.ts\`, \`.js\`, \`.mjs\` or \`.json\` of the folder is read, or the file that \`--config\` names. In TypeScript it needs
Node 22.18 or newer.

| it says | what | default |
| --- | --- | --- |
| \`databaseUrl\` | the database | none |
| \`schema\` | where Tidemark's own tables are: the \`schema\` of \`postgresCheckpoints\` | \`'tidemark'\` |
| \`events\` | the table of the events, as [\`watchedPostgresEvents\`](options.md#watchedpostgresevents) takes it, without \`pool\` | the table that the checkpoints are named after |
| \`preset\` | a project whose tables these are, in place of \`events\` and \`consumers\` | none |
| \`consumers\` | where consumers that Tidemark does not run keep their checkpoints, as [\`postgresConsumers\`](options.md#postgresconsumers) takes it, without \`pool\` | none |

A projection's checkpoint has the name of its source, and that is the name of its table where nobody has said otherwise. So
\`status\`, \`why\` and \`wait\` find the table by themselves, as long as its position is called \`position\`.

## Rights

| to | the role needs |
| --- | --- |
| look | \`USAGE\` on the schema of Tidemark's tables, and \`SELECT\` on them |
| change something | besides, to write [some of these tables](operating.md#rights) |
| see the mark | \`SELECT\` on the table of the events and on its sequence |
| see whose transaction holds the mark | \`pg_read_all_stats\` |
| end that transaction | \`pg_signal_backend\`, or to be the same role |
| \`migrations apply\` | to own the tables, or to be allowed to make them |

A command that lacks one says so, and prints the \`GRANT\` that it needs.

## What changes something

Each such command wants a reason (\`--why\`), which the audit keeps with who asked (\`--who\`). In a terminal it says what would happen,
and asks. Where nobody can be asked it wants \`--yes\`. \`--dry-run\` says what would happen and changes nothing: it decides as the
operation itself does. Asked twice, an operation is done once.

Name dead letters by their numbers, or all open ones of a projection by \`--projection\`. With \`--yes\` the second needs \`--count\` too: how
many you saw. If there are more or fewer by then, nothing is done. What comes while the command runs is not touched.
\`migrations apply\` wants no reason: there is no audit yet that could keep it.
`

const output = (): string => `## Output

Text goes to the output, errors and progress to the error output. Every error says what to try. Colours are for terminals alone, and
say nothing that the words do not say. In a narrow terminal each row of a table becomes a block. Nothing that comes from the database
steers the terminal: control characters are shown as \`\\x1b\`.

With \`--json\` the output is one JSON value, and an error is \`{ "error": { "code", "message", "next" }, "exit" }\` on the error output. With
\`--watch\`, and for \`watch\`, each look is a line. A bigint is its decimal text. Names that end in \`Ms\` are milliseconds, or times in
milliseconds since 1970. What is not known is \`null\` or left out. New fields may come; those that are there stay.

| command | what it prints |
| --- | --- |
| \`status\` | \`atMs\`, \`healthy\`, \`problems\` (\`code\`, \`what\`, \`next\`), \`notes\`, \`marks\`, \`projections\` |
| \`why\` | \`source\`, \`table\`, \`stands\`, \`head\`, \`settled\`, \`mark\`, \`gaps\`, \`holders\`, \`lookCloser\` |
| \`doctor\` | \`findings\`, \`stores\`, \`openTransactions\` as [\`diagnose\`](doctor.md#is-my-table-fit) gives them, \`tables\` (\`applied\`, \`latest\`) |
| \`nodes\` | \`sources\`: \`source\`, \`nodes\`, \`unowned\` |
| \`nodes drain\`, \`cordon\`, \`open\` | \`outcome\` (\`done\` or \`already\`), \`entries\` of the audit of nodes, one for each source |
| \`nodes audit\` | \`entries\`, as the operation gives them |
| \`skips\`, \`late\`, \`audit\`, \`dead-letters list\` | \`skips\`, \`late\`, \`entries\`, \`letters\`, as the operations give them |
| \`dead-letters show\` | the letter |
| \`dead-letters resolve\`, \`discard\` | \`closed\`, \`left\`: numbers of letters |
| \`dead-letters retry\` | \`retried\`, \`failed\`, \`left\` |
| \`late reprocess\`, \`discard\` | \`decided\`: how many |
| \`projections\` | \`outcome\` (\`done\` or \`already\`), \`entry\` of the audit |
| with \`--dry-run\` | \`dryRun\`, \`would\` |
| \`wait\` | \`projection\`, \`version\`, \`position\`, \`tookMs\` |
| \`lost\` | \`lost\`: as a watch has kept them |
| \`watch\` | a line for each \`lost\` event, and for each \`status\` |
| \`audit-commits\` | what [\`auditCommits\`](doctor.md#what-have-my-readers-lost) gives |
| \`migrations apply\` | \`schema\`, \`before\`, \`after\` |

For example \`tidemark status --json\` of the shop above:

\`\`\`json
${goldenJson('broken/status.json.txt')}
\`\`\`

## Completion

\`\`\`
source <(tidemark completion bash)   # in ~/.bashrc; needs the package bash-completion
source <(tidemark completion zsh)    # in ~/.zshrc, behind compinit
\`\`\`

It needs \`tidemark\` on the path.

## Commands
`

/** The output alone. */
function goldenJson(name: string): string {
  const text = golden(name)
  return text.slice(text.indexOf('\n') + 1, text.lastIndexOf('[exit')).trimEnd()
}

function section(command: Command, path = 'tidemark'): readonly string[] {
  const name = `${path} ${command.name()}`
  const inner = command.commands.filter((each) => each.name() !== 'help')
  return [
    `### ${name}\n`,
    `\`\`\`\n${command.helpInformation().trimEnd()}\n\`\`\`\n`,
    ...inner.flatMap((each) => section(each, name)),
  ]
}
