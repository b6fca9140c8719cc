import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { faultsOf } from './option.ts'
import { optionsPage } from './page.ts'
import { readOptions } from './read-options.ts'

const repository = fileURLToPath(new URL('../../../', import.meta.url))
const functions = readOptions(repository)
const faults = functions.flatMap(({ options }) => options.flatMap(faultsOf))
if (faults.length > 0) {
  console.error([...new Set(faults)].join('\n'))
  process.exitCode = 1
}
const page = `${repository}docs/options.md`
writeFileSync(page, optionsPage(functions))
console.log(page)
