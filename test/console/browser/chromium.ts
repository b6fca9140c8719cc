import { existsSync } from 'node:fs'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, onTestFinished } from 'vitest'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

const executable = process.env.TIDEMARK_CHROMIUM ?? PLACES.find((place) => existsSync(place))

/** In CI a missing browser is a failure. */
export const isSkipped: boolean = executable === undefined && process.env.CI !== 'true'
export const because: string = isSkipped ? ' (skipped: chromium is not installed, see CONTRIBUTING.md)' : ''
if (isSkipped) console.log('chromium is not installed: the pages of the console are not tested')

/** Longer than any look takes; a page that shows nothing by then shows it never. */
const PATIENCE_MS = 20_000

/** One browser for the tests of a file; it is ended with them. */
export function browserOfFile(): { readonly open: (options?: BrowserContextOptions) => Promise<Page> } {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({
      ...(executable === undefined ? {} : { executablePath: executable }),
      // Root may not use the sandbox of the browser, and only pages of these tests are opened.
      args: ['--no-sandbox', '--disable-gpu'],
    })
  })
  afterAll(async () => {
    await browser?.close()
  })
  return {
    open: async (options = {}) => {
      const context = await browser.newContext({ viewport: { width: 1_280, height: 900 }, ...options })
      onTestFinished(() => context.close())
      context.setDefaultTimeout(PATIENCE_MS)
      return await context.newPage()
    },
  }
}
