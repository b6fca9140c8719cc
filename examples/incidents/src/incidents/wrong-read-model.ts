import type { Incident } from '../incident.ts'

/** An earlier release has written wrong amounts. The one that runs is right, and what was written stays. */
export const wrongReadModel: Incident = {
  release: '2.2',
  prepare: async ({ pool, deploy }) => {
    await deploy('2.3')
    const { rows } = await pool.query(`
      select customer, to_char(sum(amount_cents) / 100.0, 'FM9999999990.00') as paid from events
      where type = 'OrderPaid' and appended_at < now() - interval '1 hour' group by customer order by customer limit 1`)
    const [{ customer, paid }] = rows
    return {
      told: [
        'No alert. A ticket from accounting, urgent: the page shows wrong sums.',
        `${customer} has paid at least ${paid}, as the bank says, up to an hour ago. Your table "revenue" has less.`,
        'The developers: 2.2 dropped the cents. 2.3, which runs, does not. `revenue` has a `reset`.',
        '2.5 is 2.4 and has version 2 of revenue beside version 1, in a table of its own.',
      ],
    }
  },
}
