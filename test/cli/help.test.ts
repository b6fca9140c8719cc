import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { programToRead } from './program-to-read.ts'
import { tidemark } from './rig.ts'

function commandsOf(command: Command, path: readonly string[] = []): readonly (readonly string[])[] {
  return [
    path,
    ...command.commands
      .filter((each) => each.name() !== 'complete')
      .flatMap((each) => commandsOf(each, [...path, each.name()])),
  ]
}

test('--help of every command', async () => {
  const said: string[] = []
  for (const path of commandsOf(programToRead())) {
    const { exit, out, err } = await tidemark([...path, '--help'])
    expect({ path, exit, err }).toEqual({ path, exit: 0, err: '' })
    said.push(`$ ${['tidemark', ...path, '--help'].join(' ')}\n${out}`)
  }
  await expect(said.join('\n')).toMatchFileSnapshot('golden/help.txt')
})
