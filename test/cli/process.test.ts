import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { healthyShop } from './broken-shop.ts'
import type { Shop } from './rig.ts'

// The program as it is installed: a process of its own, of what `tsc -b` has made.

const MAIN = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url))
const run = promisify(execFile)

let folder: string
let shop: Shop
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'))
  const program = join(folder, 'tidemark')
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`)
  await chmod(program, 0o755)
  shop = await healthyShop()
  await Promise.all(['bash', 'zsh'].map((name) => shell(`tidemark completion ${name} > completion.${name}`)))
})
afterAll(async () => {
  await shop.drop()
  await rm(folder, { recursive: true, force: true })
})

const environment = () => ({
  PATH: `${folder}:${process.env.PATH ?? ''}`,
  HOME: folder,
  DATABASE_URL: shop.url,
})

/** What a shell makes of it. */
async function shell(script: string): Promise<{ exit: number; out: string; err: string }> {
  const child = spawn('bash', ['-c', script], {
    cwd: folder,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { out: '', err: '' }
  child.stdout.on('data', (chunk) => {
    said.out += String(chunk)
  })
  child.stderr.on('data', (chunk) => {
    said.err += String(chunk)
  })
  const [exit] = await once(child, 'close')
  return { exit: Number(exit), ...said }
}

test('it ends with what its exit code says, and leaves nothing behind', async () => {
  const ended = await Promise.all([
    shell('tidemark status'),
    shell('tidemark statsu'),
    shell('tidemark status --database-url postgres://127.0.0.1:1/none'),
    shell('tidemark status --schema none'),
    shell('tidemark projections pause none --why "a test" --yes'),
  ])
  expect(ended).toMatchObject([
    { exit: 0, err: '' },
    { exit: 2, out: '' },
    { exit: 3 },
    { exit: 4 },
    { exit: 5 },
  ])
})

test('its version is that of its package', async () => {
  const { stdout } = await run(process.execPath, [MAIN, '--version'])
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test('through a pipe it is plain, and whoever has read enough is no error', async () => {
  const piped = await shell('tidemark status | cat')
  expect(piped.out).not.toContain('\u001b')
  expect(await shell('set -o pipefail; tidemark migrations print | head -n 1')).toMatchObject({
    exit: 0,
    out: 'create schema if not exists "tidemark";\n',
    err: '',
  })
  expect(
    await shell(
      `tidemark status --json | '${process.execPath}' -e 'JSON.parse(require("fs").readFileSync(0))'`,
    ),
  ).toMatchObject({
    exit: 0,
  })
})

test('with nobody there nothing is asked, and nothing changed', async () => {
  const { exit, err } = await shell('tidemark projections pause orders --why "a test"')
  expect({ exit, err }).toMatchObject({ exit: 2, err: expect.stringContaining('Add --yes') })
  expect((await shop.operations.list()).map(({ desired }) => desired)).toEqual(['running', 'running'])
})

test('Ctrl-C ends what goes on, with 130, and its connections', async () => {
  const child = spawn(join(folder, 'tidemark'), ['status', '--watch'], {
    cwd: folder,
    env: environment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  child.kill('SIGINT')
  expect(await once(child, 'exit')).toEqual([130, null])
})

test.skipIf('typescript' in process.features && process.features.typescript !== false)(
  'where Node reads no TypeScript, a config in it is refused with what to do',
  async () => {
    const file = join(folder, 'tidemark.config.ts')
    await writeFile(file, 'export default {} satisfies object')
    const { exit, err } = await shell('tidemark status')
    await rm(file)
    expect({ exit, err }).toMatchObject({ exit: 2, err: expect.stringContaining('reads no TypeScript') })
  },
)

/** Of the package bash-completion, which completions need: what it tells of the line. */
const BASH_COMPLETION = `
if [ -f /usr/share/bash-completion/bash_completion ]; then . /usr/share/bash-completion/bash_completion
else _get_comp_words_by_ref() {
  cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
}; fi`

/** What bash offers for a line that is typed so far. */
async function completed(line: string): Promise<readonly string[]> {
  const { out, err } = await shell(`${BASH_COMPLETION}
    source completion.bash
    read -ra COMP_WORDS <<< '${line}'
    case '${line}' in *' ') COMP_WORDS+=('');; esac
    COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)) COMP_LINE='${line}' COMP_POINT=${line.length} COMP_TYPE=9 COMP_KEY=9
    compopt() { :; }
    $(complete -p tidemark | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    printf '%s\\n' "\${COMPREPLY[@]}"`)
  expect(err).toBe('')
  return out.trimEnd().split('\n')
}

/** What each shell offers for a line that is typed so far, by the alphabet. */
const COMPLETED: Readonly<Record<string, readonly string[]>> = {
  'tidemark st': ['status'],
  'tidemark projections re': ['rebuild', 'reshard', 'resume', 'retire'],
  'tidemark nodes ': ['audit', 'cordon', 'drain', 'help', 'list', 'open'],
  'tidemark dead-letters ': ['discard', 'help', 'list', 'resolve', 'retry', 'show'],
  'tidemark status --j': ['--json'],
  'tidemark projections pause orders --w': ['--who', '--why'],
  'tidemark dead-letters list --state re': ['replayed', 'resolved', 'retried'],
}

async function offeredBy(press: (line: string) => Promise<readonly string[]>): Promise<typeof COMPLETED> {
  const lines = Object.keys(COMPLETED)
  return Object.fromEntries(
    await Promise.all(lines.map(async (line) => [line, (await press(line)).toSorted()] as const)),
  )
}

test('bash completes commands, their commands, options, and what an option can be', async () => {
  expect(await offeredBy(completed)).toEqual(COMPLETED)
}, 60_000)

const hasZsh = spawnSync('zsh', ['--version']).status === 0
const isSkipped = !hasZsh && process.env.CI !== 'true'
const because = isSkipped ? ' (skipped: zsh is not installed, see CONTRIBUTING.md)' : ''

test.skipIf(isSkipped)(
  `zsh offers the same when Tab is pressed${because}`,
  async () => {
    const program = fileURLToPath(new URL('offered.zsh', import.meta.url))
    const pressed = async (line: string): Promise<readonly string[]> => {
      const { out, err } = await shell(`zsh -f '${program}' completion.zsh '${line}'`)
      expect(err).toBe('')
      return out.trimEnd().split('\n')
    }
    expect(await offeredBy(pressed)).toEqual(COMPLETED)
  },
  60_000,
)
