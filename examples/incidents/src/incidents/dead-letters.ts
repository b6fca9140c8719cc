import { firing } from '../alert.ts'
import { hasNoOpenLetters } from '../checks.ts'
import type { Incident } from '../incident.ts'
import { until } from '../pause.ts'

const LETTERS = 20

/** The mail server was down, and a policy has given up what was to be sent meanwhile. */
export const deadLetters: Incident = {
  prepare: async ({ pool, mailServer, ending }) => {
    let open = 0
    mailServer.goDown()
    await until(
      'there are dead letters',
      async () => {
        const { rows } = await pool.query('select count(*)::int as open from tidemark.dead_letters')
        open = rows[0].open
        return open >= LETTERS
      },
      ending,
    )
    await mailServer.comeUp()
    return {
      told: [
        ...firing({
          name: 'TidemarkDeadLettersOpen',
          severity: 'warning',
          labels: { projection_name: 'mails' },
          summary: `Projection mails has given up events ${open} times, and nobody has dealt with them yet`,
          section: 'dead-letters-open',
        }),
        'The mail team: our server was down for a while. It is up again. Every customer has to get their mails.',
      ],
      checks: [hasNoOpenLetters('mails')],
    }
  },
}
