import { describe, expect, test } from 'vitest'
import { append, quiet, shopOfTest } from '../../cli/rig.ts'
import { eventually } from '../../support/event-table.ts'
import { because, browserOfFile, isSkipped } from './chromium.ts'
import { consoleFor } from './rig.ts'

describe.skipIf(isSkipped)(`the overview${because}`, () => {
  const browser = browserOfFile()

  test('says that nothing is wrong, and how each projection stands', async () => {
    const shop = await shopOfTest()
    await append(shop, 7)
    await shop.daemon([quiet('orders'), quiet('stock')])
    const page = await browser.open()
    await page.goto((await consoleFor(shop)).url)
    await page.getByText('Nothing is wrong.').waitFor()
    const orders = page.getByRole('row', { name: /^orders/ })
    await orders.getByText('follows').waitFor()
    expect(await orders.textContent()).toContain('7')
    expect(await page.getByText('Live', { exact: true }).isVisible()).toBe(true)
  })

  test('tells by itself, without being loaded again, what has gone wrong since', async () => {
    const shop = await shopOfTest()
    await append(shop, 3)
    await shop.daemon([quiet('orders')])
    const page = await browser.open()
    await page.goto((await consoleFor(shop)).url)
    await page.getByText('Nothing is wrong.').waitFor()
    await shop.operations.pause({ projection: 'orders', who: 'ben', why: 'the mail server is down' })
    await page.getByText(/orders was paused by ben: the mail server is down/).waitFor()
    await page.getByRole('link', { name: 'Open orders' }).click()
    await page.getByRole('heading', { name: 'orders', level: 1 }).waitFor()
  })

  test('shows who holds the mark, which positions wait for it, and goes on when it has ended', async () => {
    const shop = await shopOfTest()
    await append(shop, 2)
    await shop.daemon([quiet('orders')])
    const importer = await shop.session('import-of-suppliers')
    await importer.query(`begin; insert into events (type) values ('SupplierAdded')`)
    await append(shop, 2)
    const page = await browser.open()
    await page.goto((await consoleFor(shop)).url)
    await page.getByText(/^The mark of events stands at 2, .*import-of-suppliers/).waitFor()
    const mark = page.getByRole('region', { name: 'The mark of events' })
    await mark
      .getByRole('listitem')
      .filter({ hasText: /^Position 3: open since/ })
      .waitFor()
    expect(await mark.getByText(/select pg_terminate_backend\(\d+\)/).isVisible()).toBe(true)
    await importer.query('rollback')
    await mark.getByText(/No gap is open/).waitFor()
    await page.getByText('Nothing is wrong.').waitFor()
    // The picture still shows that there was one.
    expect(await mark.locator('svg .space title').first().textContent()).toMatch(
      /^Position 3: open at .*import-of-suppliers/,
    )
  })

  test('finds one of 500 projections by a part of its name, and sorts them by what is behind', async () => {
    const shop = await shopOfTest()
    await append(shop, 3)
    await shop.daemon([quiet('orders')])
    await eventually(async () => (await shop.operations.list()).length).toBe(1)
    await shop.pool.query(
      `insert into tidemark.checkpoints (projection, source, position, updated_at)
       select 'copy-' || lpad(n::text, 3, '0'), source, (n % 4)::text, now()
       from tidemark.checkpoints, generate_series(1, 499) as n`,
    )
    const page = await browser.open()
    await page.goto((await consoleFor(shop)).url)
    await page.getByText('500 projections').waitFor()
    expect(await page.locator('tbody tr').count()).toBe(100)
    await page.getByLabel('name, owner or source').fill('COPY-25')
    await page.getByText('10 of 500 projections').waitFor()
    await page.getByRole('button', { name: 'behind' }).click()
    const [first] = await page.locator('tbody tr').allInnerTexts()
    expect(first).toMatch(/^copy-252/)
  })
})
