import type { Prepared } from './incident.ts'

/** Where everything is that the person on call may use. */
export interface Place {
  readonly databaseUrl: string
  readonly log: string
  readonly shopUrl: string
  readonly operateFile: string
  readonly releaseFile: string
}

/** What is said at first. */
export function notice(number: string, { told }: Prepared, place: Place): string {
  const { databaseUrl, log, shopUrl, operateFile, releaseFile } = place
  return [
    `Incident ${number}. You are on call for a shop. You are told:`,
    '',
    ...told.map((line) => (line === '' ? '' : `  ${line}`)),
    '',
    'The shop is one process. Its daemon runs three projections over the table "events":',
    '  orders fills the table "orders", revenue fills what the view "revenue" shows, mails sends mails ("sent_mails").',
    '',
    'You have:',
    `  database    ${databaseUrl}`,
    `  log         ${log}`,
    `  health      ${shopUrl}/health/ready (also /health/live, /metrics, and /status: what daemon.status() says)`,
    `  terminal    export DATABASE_URL=${databaseUrl}; node packages/cli/dist/main.js status   (--help: the other commands)`,
    `  operations  edit this, then: node ${operateFile}`,
    `  deploy      echo 2.4 > ${releaseFile}   (2.4 is built; it mends what the developers know of)`,
    '  help        docs/cli.md, docs/operating.md, docs/runbook.md',
    '',
    'Solve it. This looks once a second whether it is solved, and says so. Ctrl-C ends it, and deletes everything.',
    '',
  ].join('\n')
}

export function solved(afterSeconds: number, checked: readonly string[]): string {
  return [
    `SOLVED after ${afterSeconds} s. It was checked that`,
    ...checked.map((what) => `  - ${what}`),
    'Ctrl-C ends it.',
    '',
  ].join('\n')
}
