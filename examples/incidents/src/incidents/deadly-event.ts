import type { Incident } from '../incident.ts'
import { until } from '../pause.ts'
import { append } from '../tables.ts'

/** One event ends the process, which is started again, and ends again. */
export const deadlyEvent: Incident = {
  prepare: async ({ pool, shopEnds, ending }) => {
    const leftOut = await append(pool, {
      type: 'OrderPlaced',
      orderId: 904,
      customer: 'noor',
      amountCents: 7_300,
      note: '\u202eplease ring twice',
    })
    await until('the shop has ended twice', () => shopEnds() >= 2, ending)
    return {
      told: [
        '[FIRING:1] KubePodCrashLooping (container="shop" severity="warning")',
        `The shop was started again ${shopEnds()} times within a minute`,
      ],
      leftOut,
    }
  },
}
