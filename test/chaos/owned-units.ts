import type { DaemonProcess } from './processes.ts'
import type { ChaosStore } from './store.ts'
import { until } from './until.ts'

/** How many units each of these processes has, which share them by leases. */
export async function owned(store: ChaosStore, nodes: readonly DaemonProcess[]): Promise<readonly number[]> {
  const { rows } = await store.query(
    `select n.name, count(*)::int as units from tidemark.checkpoints c join tidemark.nodes n on n.id = c.owner group by n.name`,
  )
  return nodes.map(({ pid }) => Number(rows.find(({ name }) => name === String(pid))?.units ?? 0))
}

export async function untilOwned(
  store: ChaosStore,
  nodes: readonly DaemonProcess[],
  sizes: readonly number[],
): Promise<void> {
  await until(`they have ${sizes}`, async () => String(await owned(store, nodes)) === String(sizes))
}
