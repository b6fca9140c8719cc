import type { DemoDatabase } from '../database.ts'

/** Two transactions that are open all along and have nothing to do with the events. */
export interface Bystanders {
  leave(): Promise<void>
}

/**
 * One has written to another table, so that it has a transaction id: a reader that waits for every older transaction
 * (`xmin`) stands still behind it. One reads the events in a repeatable-read snapshot from before the first of them.
 */
export async function standBy(database: DemoDatabase): Promise<Bystanders> {
  const unrelated = await database.connect('monthly report')
  await unrelated.query(`begin; insert into ${database.schema}.reports (title) values ('the month so far')`)
  const reader = await database.connect('export')
  await reader.query(`begin isolation level repeatable read; select count(*) from ${database.schema}.events`)
  return {
    leave: async () => {
      await unrelated.query('commit').catch(() => {})
      await reader.query('commit').catch(() => {})
      await Promise.all([unrelated.end(), reader.end()])
    },
  }
}
