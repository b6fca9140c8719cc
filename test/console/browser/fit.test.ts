import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { append, openShop, quiet, type Shop } from '../../cli/rig.ts'
import { eventually } from '../../support/event-table.ts'
import { because, browserOfFile, isSkipped } from './chromium.ts'
import { buried, consoleFor, giving } from './rig.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Each page, and what is on it once it has its answers. */
const PAGES: readonly (readonly [path: string, shows: string | RegExp])[] = [
  ['', /^The mark of events stands/],
  ['projections/orders', /slots 0–1023/],
  ['dead-letters', 'By error'],
  ['dead-letters?projection=orders', /^2 letters:/],
  ['consumers', 'Watched now'],
  ['skips', 'Late events that are open'],
  ['nodes', 'What has gone from node to node'],
  ['audit', 'a look at it'],
  ['doctor', 'What was found'],
  ['nowhere', 'To the overview'],
]

async function troubled(): Promise<Shop> {
  const shop = await openShop()
  await shop.daemon(
    [
      giving('orders', () => true, `no such product: ${'x'.repeat(120)}`),
      quiet('a-projection-with-a-rather-long-name'),
    ],
    { name: 'node-1' },
  )
  await append(shop, 2)
  await buried(shop, 2)
  await shop.operations.pause({ projection: 'orders', who: 'ben', why: 'a look at it' })
  const importer = await shop.session('import-of-suppliers')
  await importer.query(`begin; insert into events (type) values ('SupplierAdded')`)
  await append(shop, 1)
  return shop
}

async function go(page: Page, url: string, [path, shows]: (typeof PAGES)[number]): Promise<void> {
  await page.goto(`${url}#/${path}`)
  await page.getByText(shows).first().waitFor()
}

describe.skipIf(isSkipped)(`every page${because}`, () => {
  const browser = browserOfFile()
  let shop: Shop
  beforeAll(async () => {
    shop = await troubled()
  })
  afterAll(() => shop.drop())

  test('fits a window of 360 px: nothing is to be scrolled sideways', async () => {
    const { url } = await consoleFor(shop)
    const page = await browser.open({ viewport: { width: 360, height: 740 } })
    const tooWide: string[] = []
    for (const each of PAGES) {
      await go(page, url, each)
      const width = Number(await page.evaluate('document.documentElement.scrollWidth'))
      if (width > 360) tooWide.push(`${each[0]}: ${width}`)
    }
    expect(tooWide).toEqual([])
  })

  test.for(['light', 'dark'] as const)('has nothing serious that axe finds, %s', async (colorScheme) => {
    const { url } = await consoleFor(shop)
    const page = await browser.open({ colorScheme })
    const found: string[] = []
    for (const each of PAGES) {
      await go(page, url, each)
      found.push(...(await seriousOn(page)).map((what) => `${each[0]}: ${what}`))
    }
    await page.goto(`${url}#/projections/orders`)
    await page.getByRole('button', { name: 'Resume', exact: true }).click()
    await page.getByRole('dialog').getByText('What will happen').waitFor()
    found.push(...(await seriousOn(page)).map((what) => `dialog: ${what}`))
    expect(found).toEqual([])
  })

  test('can be used with the keys alone: the first one leads to what the page says, and a link to its title', async () => {
    const page = await browser.open()
    await page.goto((await consoleFor(shop)).url)
    await page.getByText(/^The mark of events stands/).waitFor()
    await page.keyboard.press('Tab')
    expect(await page.locator(':focus').textContent()).toBe('To what the page says')
    await page.keyboard.press('Enter')
    expect(await page.locator(':focus').getAttribute('id')).toBe('content')
    await page.getByRole('link', { name: 'Doctor' }).focus()
    await page.keyboard.press('Enter')
    await eventually(() => page.locator(':focus').textContent()).toBe('Doctor')
  })

  test('has the colours that are chosen, also after it was loaded again', async () => {
    const page = await browser.open({ colorScheme: 'dark' })
    const { url } = await consoleFor(shop)
    const ground = () => page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
    await page.goto(url)
    const dark = await ground()
    await page.getByRole('button', { name: 'Colours: as the system' }).click()
    const light = await ground()
    expect(light).not.toBe(dark)
    await page.reload()
    await page.getByRole('button', { name: 'Colours: light' }).waitFor()
    expect(await ground()).toBe(light)
  })
})

async function seriousOn(page: Page): Promise<readonly string[]> {
  // As the page has a strict policy: by the protocol of the browser, not by a script of the page.
  await page.evaluate(axe)
  const { violations } = (await page.evaluate(
    `axe.run(document, { resultTypes: ['violations'] })`,
  )) as AxeResults
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' ')}`)
}
