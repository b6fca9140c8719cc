import { parseArgs } from 'node:util'
import { commands } from './commands.ts'
import { Database } from './database.ts'
import { GENERATIONS, isGeneration, NEWEST } from './generations.ts'
import { Listener } from './listener.ts'
import { newLog } from './new-log.ts'
import { addServices } from './services.ts'
import type { Reply, Request } from './steering.ts'

// The server's process. It is steered over IPC, and ends when the process that started it does.
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'base-position': { type: 'string', default: '0' },
    generation: { type: 'string', default: NEWEST },
  },
})
const base = BigInt(values['base-position'])
const { generation } = values
if (!isGeneration(generation)) throw new Error(`no generation of servers: ${generation}`)
const database = new Database(newLog(base), GENERATIONS[generation])
const listener = new Listener(Number(values.port), (server) =>
  addServices(server, database, () => database.cluster ?? [{ port: listener.port, state: 'leader' }]),
)
const steering = commands(database, listener, () => newLog(base))

const reply = (message: Reply): void => void process.send?.(message)

process.on('disconnect', () => process.exit())
process.on('message', ({ id, command: { name, args } }: Request) => {
  const act = steering[name] as (...args: unknown[]) => unknown
  Promise.resolve()
    .then(() => act(...args))
    .then((result) => reply({ id, result }))
    .catch((error: Error) => reply({ id, error: error.stack ?? error.message }))
})
await listener.open()
reply({ port: listener.port })
