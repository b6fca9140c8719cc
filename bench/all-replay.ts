/** A daemon over `$all` beside a bare read of it, in a process of its own. */
import { createDaemon } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { esdbEvents } from '@tidemark/esdb-adapter'
import { connect } from './all/connect.ts'
import { runInterleaved, timed } from './replay/contender.ts'
import { median } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

const [name = '', port, eventCount, roundCount] = process.argv.slice(2)
const events = Number(eventCount)
const rounds = Number(roundCount)
const { client, append, readAll, dispose } = await connect(name, Number(port))
const DATA = { account: 'account-1', amount: 17, note: 'invoice 42, thank you for your business'.repeat(3) }
const AT_ONCE = 500

console.log(`\n${name}: ${wholeNumber(events)} events of $all, ${rounds} rounds`)
for (let n = 0; n < events; n += AT_ONCE)
  await append(`account-${n % 97}`, Math.min(AT_ONCE, events - n), DATA)

const bare = {
  name: 'bare read',
  rounds,
  run: async () => {
    const seconds = await timed(async () => {
      const read = await readAll(events * 2)
      if (read < events) throw new Error(`the bare read brought ${read} of ${events} events`)
    })
    return { events, seconds }
  },
}

const daemonOf = (batchSize: number | undefined) => ({
  name: `Tidemark, batchSize ${batchSize ?? 'by default'}`,
  rounds,
  run: async () => {
    let handled = 0
    const daemon = createDaemon({
      source: esdbEvents({ client }),
      checkpoints: inMemoryCheckpoints(),
      projections: [
        {
          name: 'counted',
          ...(batchSize && { batchSize }),
          handle: (page) => {
            handled += page.length
          },
        },
      ],
    })
    const seconds = await timed(async () => {
      await daemon.start()
      await daemon.waitUntilProjected()
    })
    await daemon.stop()
    if (handled !== events) throw new Error(`${handled} of ${events} events were handled`)
    return { events, seconds }
  },
})

const contenders = [bare, daemonOf(undefined), daemonOf(5_000)]
const rates = await runInterleaved(contenders)
await dispose()
const bareRates = rates.get(bare.name) ?? []
console.log()
printTable(
  [`${name}, median of interleaved runs`, 'events/s', 'x bare read'],
  [...rates].map(([of, found]) => [
    of,
    wholeNumber(median(found)),
    `${median(found.map((rate, round) => rate / (bareRates[round] ?? Number.NaN))).toFixed(2)} x`,
  ]),
)
process.exit()
