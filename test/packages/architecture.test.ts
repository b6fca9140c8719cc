import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(`${repository}ARCHITECTURE.md`, 'utf8')

/** What stands below `### \`packages/.../\`` as "- `a.ts`, `b.ts`: what they do". */
function namedFiles(): string[] {
  const [, ...sections] = page.split(/^#{2,3} /m)
  return sections.flatMap((section) => {
    const folder = /^`(packages\/[^`]+\/)`$/m.exec(section.split('\n')[0] ?? '')?.[1]
    if (folder === undefined) return []
    const names = [...section.matchAll(/^- ((?:`[^`]+`(?:, )?)+): \S/gm)].flatMap(([, list = '']) =>
      list.split(', ').map((name) => name.replaceAll('`', '')),
    )
    return names.map((name) => folder + name)
  })
}

function presentFiles(): string[] {
  return readdirSync(`${repository}packages`).flatMap((name) => {
    const folder = `packages/${name}/src/`
    const files = readdirSync(repository + folder, { recursive: true, withFileTypes: true })
    return files
      .filter((file) => file.isFile())
      .map((file) => `${file.parentPath}/${file.name}`.slice(repository.length).replaceAll('//', '/'))
  })
}

test('ARCHITECTURE.md names each file of packages/*/src once, below its folder, with what it does', () => {
  expect(namedFiles().toSorted()).toEqual(presentFiles().toSorted())
})

test('ARCHITECTURE.md says of each room of core what it is for and what it imports', () => {
  const rooms = readdirSync(`${repository}packages/core/src`, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  for (const { name } of rooms) expect(page).toMatch(new RegExp(`^\\| \`${name}/\` \\| .+ \\| .+ \\|$`, 'm'))
})
