import type { ChaosStore } from './store.ts'
import { until } from './until.ts'

/**
 * Kills one with SIGKILL, whichever it is: a writer's, the daemon's, a bystander's. All the others end with it. Resolves
 * when the server answers again.
 */
export async function killBackend(store: ChaosStore, choice: number): Promise<void> {
  const looking = await store.connect()
  const ended = new Promise((resolve) => looking.once('end', resolve))
  await until('a backend was killed', async () => {
    const { rows } = await looking.query(
      `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() order by pid`,
    )
    return rows.length > 0 && killed(rows[choice % rows.length].pid)
  })
  await ended
  await until('the server answers again', () => store.query('select'))
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
