/** A program to edit and run: operations on the shop. It may stand anywhere. */
export function operateFile(databaseUrl: string): string {
  const at = (name: string) => JSON.stringify(import.meta.resolve(name))
  return `import { createOperations } from ${at('@tidemark/core/operations')}
import { postgresCheckpoints, postgresEvents } from ${at('@tidemark/pg-adapter')}
import pg from ${at('pg')}

const pool = new pg.Pool({ connectionString: ${JSON.stringify(databaseUrl)}, allowExitOnIdle: true })
const operations = createOperations({
  checkpoints: postgresCheckpoints({ pool }),
  source: postgresEvents({ pool, table: 'events' }),
})

// Put what you want to do here: docs/operating.md. For SQL: (await pool.query('select ...')).rows
console.dir(await operations.list(), { depth: null })
`
}
