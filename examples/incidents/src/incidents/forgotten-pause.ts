import type { Incident } from '../incident.ts'
import { notRunning } from './poison.ts'

/** Somebody has paused a projection the day before, and has not resumed it. */
export const forgottenPause: Incident = {
  prepare: async ({ pool, operations, whileStopped }) => {
    const projection = 'orders'
    const why = 'adding an index to orders, back in ten minutes'
    await whileStopped(async () => {
      await operations.pause({ projection, who: 'tom', why })
      await pool.query(
        `with decided as (
           update tidemark.checkpoints set desired_since = now() - interval '25 hours' where projection = $1)
         update tidemark.audit set at = now() - interval '25 hours' where projection = $1`,
        [projection],
      )
    })
    return {
      told: [...notRunning(projection), 'It was silenced for 24 hours by tom. tom cannot be reached.'],
    }
  },
}
