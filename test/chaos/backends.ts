import type { ChaosStore } from './store.ts'

/** Kills one with SIGKILL, whichever it is: a writer's, the daemon's, a bystander's. All the others end with it. */
export async function killBackend(store: ChaosStore, choice: number): Promise<void> {
  const { rows } = await store.query(
    `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() order by pid`,
  )
  process.kill(rows[choice % rows.length].pid, 'SIGKILL')
}
