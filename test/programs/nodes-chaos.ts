import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'

// `pnpm test:chaos --minutes 2 --seed 7`: runs the project `extra-nodes` (test/chaos/nodes) with them.
const { values: options } = parseArgs({
  options: { minutes: { type: 'string', default: '2' }, seed: { type: 'string' } },
})
const minutes = Number(options.minutes)
if (!(minutes > 0)) throw new Error(`--minutes is a number above 0, not ${options.minutes}`)

const child = spawn('vitest', ['run', '--project', 'extra-nodes'], {
  stdio: 'inherit',
  env: {
    ...process.env,
    TIDEMARK_CHAOS_MINUTES: String(minutes),
    ...(options.seed === undefined ? {} : { TIDEMARK_SEED: options.seed }),
  },
})
const [status] = await once(child, 'exit')
process.exitCode = status ?? 1
