import type { ChaosStore } from './store.ts'

/** Kills one with SIGKILL, whichever it is: a writer's, the daemon's, a bystander's. All the others end with it. */
export async function killBackend(store: ChaosStore, choice: number): Promise<void> {
  const { rows } = await store.query(
    `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() order by pid`,
  )
  for (let offset = 0; offset < rows.length; offset++) {
    if (killed(rows[(choice + offset) % rows.length].pid)) return
  }
}

/** False where the process is gone already: a backend may end by itself after it was listed. */
function killed(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
