import { describe, expect, test } from 'vitest'
import { shopOfTest } from '../../cli/rig.ts'
import { because, browserOfFile, isSkipped } from './chromium.ts'
import { act, buried, consoleFor, giving } from './rig.ts'

const MARKUP = `<img src=x onerror="window.ran=1;alert(1)"><script>window.ran=1</script>`

describe.skipIf(isSkipped)(`what comes from events${because}`, () => {
  const browser = browserOfFile()

  test('is text on every page, never markup: names, types, errors, data, reasons', async () => {
    const shop = await shopOfTest()
    const name = `${MARKUP}'"&`
    await shop.daemon([giving(name, () => true, MARKUP)])
    await shop.pool.query('insert into events (type, data) values ($1, $1)', [MARKUP])
    await buried(shop, 1)
    const [letter] = await shop.operations.deadLetters.list()
    const page = await browser.open()
    const said: string[] = []
    page.on('dialog', (dialog) => {
      said.push(dialog.message())
      void dialog.dismiss()
    })
    const { url } = await consoleFor(shop)
    await page.goto(url)
    await page.getByRole('link', { name, exact: true }).click()
    await page.getByRole('heading', { name, level: 1 }).waitFor()
    await act(page, 'Pause', MARKUP)
    await page.getByRole('cell', { name: MARKUP, exact: true }).waitFor()
    for (const path of [
      'dead-letters',
      `dead-letters/${letter?.id}`,
      'audit',
      'nodes',
      'skips',
      'consumers',
      '',
    ]) {
      await page.goto(`${url}#/${path}`)
      await page.getByRole('heading', { level: 1 }).waitFor()
      if (path !== '' && path !== 'skips' && path !== 'consumers' && path !== 'nodes') {
        await page.getByText(MARKUP).first().waitFor()
      }
      expect(await page.locator('main img, main script').count()).toBe(0)
    }
    await page.goto(`${url}#/dead-letters/${letter?.id}`)
    await page.getByRole('button', { name: 'Show it' }).click()
    await page.locator('pre').getByText(JSON.stringify(MARKUP).slice(1, -1)).first().waitFor()
    expect(said).toEqual([])
    expect(await page.evaluate(`'ran' in window`)).toBe(false)
  })
})
