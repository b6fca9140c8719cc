import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const read = (page: string): string => readFileSync(repository + page, 'utf8')
/** Everything in backticks that stands outside of code blocks. */
const inBackticks = (page: string): string[] =>
  [
    ...read(page)
      .replaceAll(/^```[\s\S]*?^```$/gm, '')
      .matchAll(/`([^`\n]+)`/g),
  ].map(([, text = '']) => text)

const tests = new Set(
  readdirSync(`${repository}test`, { recursive: true, encoding: 'utf8' }).map((path) =>
    path.split('/').pop(),
  ),
)

test.each(['SPEC.md', 'CONTRIBUTING.md'])('%s names test files that are there', (page) => {
  const named = inBackticks(page).filter((text) => /^[\w./-]+\.test\.ts$/.test(text))
  expect(named.length).toBeGreaterThan(3)
  expect(named.filter((path) => !tests.has(path.split('/').pop() ?? ''))).toEqual([])
})

test.each(['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SPEC.md', 'docs/proof.md'])(
  '%s names paths that are there',
  (page) => {
    const named = inBackticks(page).filter((text) =>
      /^(packages|test|docs|monitoring|bench|examples)\/[\w./-]+$/.test(text),
    )
    expect(named.filter((path) => !existsSync(repository + path))).toEqual([])
  },
)

const pages = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SPEC.md'],
  ...readdirSync(`${repository}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  ...['packages', 'examples'].flatMap((folder) =>
    readdirSync(repository + folder).map((name) => `${folder}/${name}/README.md`),
  ),
].filter((page) => existsSync(repository + page))

const withoutCode = (page: string): string => read(page).replaceAll(/^```[\s\S]*?^```$/gm, '')

/** What a heading is linked to by: letters, digits, and lines for what is between words. */
function anchorsOf(page: string): ReadonlySet<string> {
  const headings = [...withoutCode(page).matchAll(/^#+ (.+)$/gm)].map(([, text = '']) =>
    text
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
  return new Set(
    headings.map((anchor, n) => {
      const before = headings.slice(0, n).filter((other) => other === anchor).length
      return before === 0 ? anchor : `${anchor}-${before}`
    }),
  )
}

test.each(pages)('the links of %s lead to files and headings that are there', (page) => {
  const links = [...withoutCode(page).matchAll(/\]\(([^()\s]+)\)/g)].map(([, link = '']) => link)
  const broken = links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : posix.join(posix.dirname(page), path)
      if (!existsSync(repository + target)) return true
      return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor)
    })
  expect(broken).toEqual([])
})

test('README leads to each page of docs', () => {
  const named = pages.filter((page) => page.startsWith('docs/') && !read('README.md').includes(`](${page}`))
  expect(named).toEqual([])
})
