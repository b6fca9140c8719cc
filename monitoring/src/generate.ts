import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { generatedFiles } from './files.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const { values } = parseArgs({
  options: { runbook: { type: 'string' }, out: { type: 'string', default: repository } },
})
const read = (path: string): Promise<string> => readFile(resolve(repository, path), 'utf8')
const files = await generatedFiles(read, values.runbook)

for (const [path, content] of files) {
  const target = resolve(values.out, path)
  await mkdir(dirname(target), { recursive: true })
  await writeFile(target, content)
  console.log(target)
}
