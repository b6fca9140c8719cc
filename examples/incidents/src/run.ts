import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { freePort, startPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'
import { type Check, checksOfAll, everyProjectionFollows } from './checks.ts'
import { Deployments } from './deployments.ts'
import type { Incident, Scene } from './incident.ts'
import { MailServer } from './mail-server.ts'
import { notice, type Place, solved } from './notice.ts'
import { operateFile } from './operate-file.ts'
import { pause, until } from './pause.ts'
import { Supervisor } from './supervisor.ts'
import { createTables } from './tables.ts'
import { runWriter } from './writer.ts'

const HOST = '127.0.0.1'
const LOOK_EVERY_MS = 1_000
/** That what holds for a moment is not taken for a solution. */
const LOOKS_IN_A_ROW = 3

type Say = (text: string) => void
type Clean = () => Promise<unknown> | unknown

/** Whether it was solved, once `interrupted` has fired. Leaves nothing behind. */
export async function runIncident(
  number: string,
  incident: Incident,
  interrupted: AbortSignal,
  say: Say,
): Promise<boolean> {
  const cleaning: Clean[] = []
  let isSolved = false
  try {
    const { scene, place, deployments } = await startShop(incident, interrupted, cleaning, say)
    const { pool } = scene
    const running = everyProjectionFollows()
    await until('every projection follows', async () => await hold(running, pool), interrupted)
    const prepared = await incident.prepare(scene)
    const checks = [...checksOfAll(prepared.leftOut), ...(prepared.checks ?? [])]
    await until('the incident shows', async () => !(await hold(checks, pool)), interrupted)
    say(`\n${notice(number, prepared, place)}`)
    const startedMs = performance.now()
    for (let inARow = 0; ; await pause(LOOK_EVERY_MS, interrupted)) {
      const deployed = await deployments.follow()
      if (deployed !== undefined) say(`${deployed}\n`)
      if (isSolved) continue
      inARow = (await hold(checks, pool)) ? inARow + 1 : 0
      if (inARow < LOOKS_IN_A_ROW) continue
      isSolved = true
      const seconds = Math.round((performance.now() - startedMs) / 1_000)
      say(
        solved(
          seconds,
          checks.map(({ what }) => what),
        ),
      )
    }
  } catch (error) {
    if (!interrupted.aborted) throw error
    return isSolved
  } finally {
    for (const clean of cleaning.reverse()) await clean()
  }
}

async function hold(checks: readonly Check[], pool: pg.Pool): Promise<boolean> {
  for (const check of checks) if (!(await check.holds(pool))) return false
  return true
}

interface Started {
  readonly scene: Scene
  readonly place: Place
  readonly deployments: Deployments
}

async function startShop(
  { release = '2.3' }: Incident,
  interrupted: AbortSignal,
  cleaning: Clean[],
  say: Say,
): Promise<Started> {
  say('Starting a PostgreSQL, a shop and its customers ...\n')
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-incident-'))
  cleaning.push(() => rm(folder, { recursive: true, force: true }))
  const server = await startPostgres()
  cleaning.push(() => server.dispose())
  const { url } = server
  const pool = new pg.Pool({ connectionString: url, application_name: 'incident', max: 4 })
  pool.on('error', () => {})
  cleaning.push(() => pool.end())
  await createTables(pool)

  const mailServer = await MailServer.start()
  cleaning.push(() => mailServer.goDown())
  const port = await freePort(HOST)
  const place: Place = {
    databaseUrl: url,
    log: join(folder, 'shop.log'),
    shopUrl: `http://${HOST}:${port}`,
    operateFile: join(folder, 'operate.mjs'),
    releaseFile: join(folder, 'release'),
  }
  await writeFile(place.operateFile, operateFile(url))
  const env = { DATABASE_URL: url, SHOP_PORT: String(port), MAIL_URL: mailServer.url, SHOP_RELEASE: release }
  const shop = new Supervisor('shop', place.log, env)
  cleaning.push(() => shop.stop())
  const deployments = await Deployments.begin(place.releaseFile, shop, release)
  await until('the shop is ready', async () => await isReady(place), interrupted)

  const ending = new AbortController()
  const writing = runWriter(pool, ending.signal).catch((error: unknown) => {
    if (!ending.signal.aborted) say(`The customers have gone: ${String(error)}\n`)
  })
  cleaning.push(() => {
    ending.abort()
    return writing
  })
  interrupted.addEventListener('abort', () => ending.abort())
  const scene: Scene = {
    url,
    pool,
    operations: createOperations({
      checkpoints: postgresCheckpoints({ pool }),
      source: postgresEvents({ pool, table: 'events' }),
    }),
    mailServer,
    ending: ending.signal,
    deploy: (next) => deployments.deploy(next),
    whileStopped: async (work) => {
      await shop.restart({}, work)
      await until('the shop is ready again', async () => await isReady(place), ending.signal)
    },
    shopEnds: () => shop.ends,
    startInvoices: () => {
      const invoices = new Supervisor('invoices', join(folder, 'invoices.log'), env)
      cleaning.push(() => invoices.stop())
    },
  }
  return { scene, place, deployments }
}

async function isReady({ shopUrl }: Place): Promise<boolean> {
  return await fetch(`${shopUrl}/health/ready`).then(
    ({ ok }) => ok,
    () => false,
  )
}
