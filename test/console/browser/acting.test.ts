import { describe, expect, test } from 'vitest'
import { append, quiet, shopOfTest } from '../../cli/rig.ts'
import { eventually } from '../../support/event-table.ts'
import { because, browserOfFile, isSkipped } from './chromium.ts'
import { act, buried, confirm, consoleFor, giving } from './rig.ts'

describe.skipIf(isSkipped)(`what one does on a page${because}`, () => {
  const browser = browserOfFile()

  test('pauses and resumes a projection, and the audit keeps who and why', async () => {
    const shop = await shopOfTest()
    await append(shop, 3)
    await shop.daemon([quiet('orders')])
    const page = await browser.open()
    await page.goto(`${(await consoleFor(shop)).url}#/projections/orders`)
    await act(page, 'Pause', 'the mail server is down')
    await page.getByText(/Paused by ann .*: the mail server is down/).waitFor()
    await act(page, 'Resume', 'it is back')
    await page.getByText('follows', { exact: true }).waitFor()
    const audit = await shop.operations.audit()
    expect(audit.map(({ operation, who, why }) => [operation, who, why])).toEqual([
      ['resume', 'ann', 'it is back'],
      ['pause', 'ann', 'the mail server is down'],
    ])
    await page.getByRole('cell', { name: 'it is back' }).waitFor()
  })

  test('wants a reason, and changes nothing where the dialog is left by Escape; the focus is where it was', async () => {
    const shop = await shopOfTest()
    await append(shop, 3)
    await shop.daemon([quiet('orders')])
    const page = await browser.open()
    await page.goto(`${(await consoleFor(shop)).url}#/projections/orders`)
    await page.getByRole('button', { name: 'Pause', exact: true }).focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.getByText('What will happen').waitFor()
    expect(await dialog.getByRole('button', { name: 'Pause' }).isDisabled()).toBe(true)
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    expect(await page.locator(':focus').textContent()).toBe('Pause')
    expect(await shop.operations.audit()).toEqual([])
  })

  test('retries the dead letters of one error together, and leaves those of another', async () => {
    const shop = await shopOfTest()
    const broken = { orders: true, mails: true }
    await shop.daemon([
      giving('orders', () => broken.orders),
      giving('mails', () => broken.mails, 'mailbox full'),
    ])
    await append(shop, 3)
    await buried(shop, 6)
    broken.orders = false
    const page = await browser.open()
    await page.goto(`${(await consoleFor(shop)).url}#/dead-letters`)
    // Of everything together nothing is offered.
    await page.getByText('Open dead letters of every projection').waitFor()
    expect(await page.getByRole('button', { name: 'Retry', exact: true }).count()).toBe(0)
    await page.getByRole('link', { name: /no such product/ }).click()
    await page.getByText(/^3 letters: open dead letters of orders, version 1, that failed with/).waitFor()
    await act(page, 'Retry', 'the product is there now')
    await page.getByText('There are none.').waitFor()
    const left = await shop.operations.deadLetters.list({ state: 'open' })
    expect(left.map(({ projection }) => projection)).toEqual(['mails', 'mails', 'mails'])
  })

  test('closes those that are ticked, and no other', async () => {
    const shop = await shopOfTest()
    await shop.daemon([giving('orders', () => true)])
    await append(shop, 3)
    await buried(shop, 3)
    const [first] = await shop.operations.deadLetters.list({ state: 'open' })
    const page = await browser.open()
    await page.goto(`${(await consoleFor(shop)).url}#/dead-letters?projection=orders`)
    await page.getByLabel(`Choose letter ${first?.id}`).check()
    await page.getByText('1 chosen dead letter', { exact: true }).waitFor()
    await act(page, 'Discard', 'it was a test order')
    await eventually(async () => {
      const closed = await shop.operations.deadLetters.list({ state: 'discarded' })
      return closed.map(({ id, closed }) => [id, closed?.who, closed?.why])
    }).toEqual([[first?.id, 'ann', 'it was a test order']])
  })

  test('is not done where there are more letters by then than were shown', async () => {
    const shop = await shopOfTest()
    await shop.daemon([giving('orders', () => true)])
    await append(shop, 2)
    await buried(shop, 2)
    const page = await browser.open()
    await page.goto(`${(await consoleFor(shop)).url}#/dead-letters?projection=orders`)
    await page.getByText(/^2 letters:/).waitFor()
    await page.getByRole('button', { name: 'Discard', exact: true }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('What will happen').waitFor()
    await append(shop, 1)
    await buried(shop, 3)
    await dialog.getByLabel('Why').fill('not wanted')
    await dialog.getByRole('button', { name: 'Discard' }).click()
    await dialog.getByRole('alert').waitFor()
    expect((await shop.operations.deadLetters.list({ state: 'open' })).length).toBe(3)
  })

  test('that two do at once is done once, and the second is told', async () => {
    const shop = await shopOfTest()
    await append(shop, 3)
    await shop.daemon([quiet('orders')])
    const { url } = await consoleFor(shop)
    const [first, second] = [await browser.open(), await browser.open()]
    for (const page of [first, second]) {
      await page.goto(`${url}#/projections/orders`)
      await page.getByRole('button', { name: 'Pause', exact: true }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByText('What will happen').waitFor()
      await dialog.getByLabel('Why').fill('the mail server is down')
    }
    for (const page of [first, second]) {
      const dialog = page.getByRole('dialog')
      await dialog.getByRole('button', { name: 'Pause', exact: true }).click()
      await dialog.getByText('done', { exact: true }).waitFor()
    }
    await second
      .getByRole('dialog')
      .getByText(/already/)
      .waitFor()
    expect(await shop.operations.audit()).toHaveLength(1)
  })

  test('drains a node: the other one gets what it had, and the page tells of the move', async () => {
    const shop = await shopOfTest()
    await append(shop, 3)
    await shop.daemon([quiet('orders'), quiet('stock')], { name: 'node-1' })
    const page = await browser.open()
    await page.goto(`${(await consoleFor(shop)).url}#/nodes`)
    await page
      .getByRole('row', { name: /^node-1/ })
      .getByText('2: orders and stock')
      .waitFor()
    await shop.daemon([quiet('orders'), quiet('stock')], { name: 'node-2' })
    await page.getByRole('row', { name: /^node-2/ }).waitFor()
    await page
      .getByRole('row', { name: /^node-1/ })
      .getByRole('button', { name: 'Drain' })
      .click()
    await confirm(page, 'Drain', 'a deploy')
    await page
      .getByRole('row', { name: /^node-2/ })
      .getByText('2: orders and stock')
      .waitFor()
    await page
      .getByText(/: node-1 → node-2$/)
      .first()
      .waitFor()
  })

  test('is not offered where the console only reads', async () => {
    const shop = await shopOfTest()
    await append(shop, 3)
    await shop.daemon([quiet('orders')])
    const page = await browser.open()
    await page.goto(`${(await consoleFor(shop, { actions: false })).url}#/projections/orders`)
    await page.getByText('follows', { exact: true }).waitFor()
    await page.getByText(/read only/).waitFor()
    expect(await page.getByRole('button', { name: 'Pause' }).count()).toBe(0)
  })
})
