import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ConsoleOptions, consoleHandler } from '@tidemark/console'
import type { Projection } from '@tidemark/core'
import type { PgClient, PostgresRow } from '@tidemark/pg-adapter'
import type { Page } from 'playwright-core'
import { expect, onTestFinished, vi } from 'vitest'
import type { Shop } from '../../cli/rig.ts'
import { optionsOn } from '../rig.ts'

export interface ShownConsole {
  readonly url: string
  /** Ends it with all its connections. */
  readonly stop: () => Promise<void>
  /** Another one, on the same port. */
  readonly start: () => Promise<void>
}

/** A console that shows that shop, and acts; until the end of the test. */
export async function consoleFor(
  { pool }: Pick<Shop, 'pool'>,
  more: Partial<ConsoleOptions> = {},
): Promise<ShownConsole> {
  let port = 0
  let stop = async (): Promise<void> => {}
  const start = async (): Promise<void> => {
    const handler = consoleHandler(
      optionsOn(pool, {
        actions: true,
        showEventData: true,
        lookEveryMs: 500,
        requestsPerMinute: 100_000,
        ...more,
      }),
    )
    const server = createServer(handler)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    port = (server.address() as AddressInfo).port
    stop = async () => {
      stop = async () => {}
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await handler.close()
    }
  }
  await start()
  onTestFinished(() => stop())
  return { url: `http://127.0.0.1:${port}/`, stop: () => stop(), start }
}

/** One that gives up each event, for as long as `isBroken` says so. */
export const giving = (
  name: string,
  isBroken: () => boolean,
  message = 'no such product',
): Projection<PostgresRow, PgClient> => ({
  name,
  onFailure: () => 'skip',
  handle: async () => {
    if (isBroken()) throw new Error(message)
  },
})

/** Waits until so many dead letters are open. */
export async function buried({ operations }: Shop, howMany: number): Promise<void> {
  // Also before a test, where `eventually` may not be used.
  await vi.waitFor(
    async () => expect(await operations.deadLetters.list({ state: 'open' })).toHaveLength(howMany),
    { timeout: 30_000, interval: 50 },
  )
}

/** Presses a button, says why in its dialog, does it, and waits until it is done. */
export async function act(page: Page, button: string, why: string): Promise<void> {
  await page.getByRole('button', { name: button, exact: true }).click()
  await confirm(page, button, why)
}

/** The same, where its dialog is open. */
export async function confirm(page: Page, button: string, why: string): Promise<void> {
  const dialog = page.getByRole('dialog')
  await dialog.getByText('What will happen').waitFor()
  await dialog.getByLabel('Why').fill(why)
  await dialog.getByRole('button', { name: button, exact: true }).click()
  await dialog.getByText('done', { exact: true }).waitFor()
  await dialog.getByRole('button', { name: 'Close' }).click()
  await dialog.waitFor({ state: 'hidden' })
}
