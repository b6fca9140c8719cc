import { describe, expect, test } from 'vitest'
import { append, quiet, shopOfTest } from '../../cli/rig.ts'
import { ownServer } from '../../support/database.ts'
import { because, browserOfFile, isSkipped } from './chromium.ts'
import { consoleFor } from './rig.ts'

describe.skipIf(isSkipped)(`a page that is left open${because}`, () => {
  const browser = browserOfFile()

  test('says that the database is away and how old it is what it shows, and goes on when it is back', async ({
    onTestFinished,
  }) => {
    const server = await ownServer()
    onTestFinished(() => server.dispose())
    const shop = await shopOfTest(server.url)
    await append(shop, 4)
    await shop.daemon([quiet('orders')])
    const page = await browser.open()
    await page.goto((await consoleFor(shop)).url)
    await page.getByText('Nothing is wrong.').waitFor()
    await server.stop('immediate')
    await page.getByText(/^The database cannot be looked at, for .* What is shown is .* old\.$/).waitFor()
    // What was known is still there.
    expect(await page.getByRole('row', { name: /^orders/ }).isVisible()).toBe(true)
    await server.start()
    await page.getByText('Live', { exact: true }).waitFor()
    expect(await page.getByText(/cannot be looked at/).count()).toBe(0)
  })

  test('says that its server is away, and goes on with the one that is started after it', async () => {
    const shop = await shopOfTest()
    await append(shop, 4)
    await shop.daemon([quiet('orders')])
    const running = await consoleFor(shop)
    const page = await browser.open()
    await page.goto(`${running.url}#/projections/orders`)
    await page.getByText('follows', { exact: true }).waitFor()
    await running.stop()
    await page.getByText(/The server of this page does not answer/).waitFor()
    await running.start()
    await page.getByText('Live', { exact: true }).waitFor()
    // Its token is a new one.
    await page.getByRole('button', { name: 'Pause', exact: true }).click()
    await page.getByRole('dialog').getByText('What will happen').waitFor()
  })

  test('asks again and again where the stream does not come through, and streams again when it does', async () => {
    const shop = await shopOfTest()
    await append(shop, 4)
    await shop.daemon([quiet('orders')])
    const page = await browser.open()
    await page.route('**/api/live', (route) => route.abort())
    await page.goto((await consoleFor(shop)).url)
    await page.getByText(/^Asked every/).waitFor()
    await shop.operations.pause({ projection: 'orders', who: 'ben', why: 'a look' })
    await page.getByText(/orders was paused by ben/).waitFor()
    await page.unroute('**/api/live')
    await page.getByText('Live', { exact: true }).waitFor()
  })
})
