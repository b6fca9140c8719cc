import { expect, test } from 'vitest'
import { startProgram } from '../support/child-program.ts'
import { fileDatabase } from '../support/event-table.ts'
import { programPath } from '../support/program.ts'

const db = fileDatabase()

test.each([
  'prepare',
  'source.open',
  'sharesLogWith',
  'readHighWater',
  'progress',
  'open',
  'settled.save',
  'skips.record',
  'load',
  'advance',
  'handle',
  'pool',
])(
  'where %s is never answered, stop() and start() end, nothing is left, and the process ends by itself',
  async (method) => {
    const events = await db.events()
    await events.append(3)
    const env = { URL: db.url, SCHEMA: events.schema, METHOD: method }
    const program = startProgram(programPath('hanging-store'), env)
    await program.said(/nothing is left/)
    expect(await program.exit).toEqual([0, null])
  },
)
