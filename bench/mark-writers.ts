/** The writers of `bench:mark`, in a process of their own so that their event loop is not that of the agent. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type EndedTransaction, machineNowMs, type WritersOrder } from './mark/writers-protocol.ts'
import { answerQuestions } from './support/child.ts'
import { randomNumbers } from './support/random.ts'

const ROLLED_BACK = 0.1
const HOLDING = 0.05
const HOLD_MS = { least: 20, most: 200 }
const LONGEST_PAUSE_MS = 20
const NOTE = 'x'.repeat(150)

answerQuestions(write)

async function write({
  connectionString,
  table,
  writers,
  seconds,
  seed,
}: WritersOrder): Promise<EndedTransaction[]> {
  const until = machineNowMs() + seconds * 1000
  const ended = await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const client = new pg.Client({ connectionString })
      await client.connect()
      const random = randomNumbers(seed * 1000 + writer)
      const own: EndedTransaction[] = []
      while (machineNowMs() < until) {
        own.push(await append(client, table, random))
        await sleep(random() * LONGEST_PAUSE_MS)
      }
      await client.end()
      return own
    }),
  )
  return ended.flat()
}

async function append(client: pg.Client, table: string, random: () => number): Promise<EndedTransaction> {
  const holds = random() < HOLDING
  const holdMs = HOLD_MS.least + random() * (HOLD_MS.most - HOLD_MS.least)
  const committed = random() >= ROLLED_BACK
  await client.query('begin')
  const { rows } = await client.query<{ position: string }>(
    `insert into ${table} (type, data) values ('Deposited', jsonb_build_object('amount', 17, 'note', $1::text)) returning position`,
    [NOTE],
  )
  if (holds) await sleep(holdMs)
  await client.query(committed ? 'commit' : 'rollback')
  return { position: Number(rows[0]?.position), committed, endedAtMs: machineNowMs() }
}
