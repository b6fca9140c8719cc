import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Appended } from '../delay/protocol.ts'

/** What Marten is given: nothing, or all that it has for short delays (`Configure` in Program.cs). */
export type MartenSettings = 'defaults' | 'tuned'

/** Program.cs, built. */
export interface MartenProgram {
  /** Of Marten. */
  readonly version: string
  /** Until it is ready. `onEvent` is called with each event that it has appended or handled. */
  start(args: readonly string[], onEvent: (event: Appended) => void): Promise<MartenProcess>
}

interface MartenProcess {
  /** Tells the writers to begin, and waits until they are done. */
  go(): Promise<void>
  stop(): Promise<void>
}

export const NO_SDK = 'There is no .NET SDK on this machine (dotnet), so Marten is left out.'

const FOLDER = fileURLToPath(new URL('../../marten/', import.meta.url))
const BUILT = fileURLToPath(new URL('../dotnet/', import.meta.url))
const ASSEMBLY = `${BUILT}bin/beside/release/beside.dll`
const ENV = { ...process.env, DOTNET_CLI_TELEMETRY_OPTOUT: '1', DOTNET_NOLOGO: '1' }

/** `undefined` where there is no .NET SDK. Packages come from where this machine's NuGet is told to look. */
export async function buildMarten(): Promise<MartenProgram | undefined> {
  if (!(await hasSdk())) return undefined
  await dotnet(['build', FOLDER, '-c', 'Release', '--artifacts-path', BUILT, '--disable-build-servers'])
  return { version: await dotnet([ASSEMBLY, 'version']), start }
}

async function hasSdk(): Promise<boolean> {
  try {
    return (await dotnet(['--list-sdks'])) !== ''
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** What it printed. A build that fails says why on its standard output. */
async function dotnet(args: readonly string[]): Promise<string> {
  try {
    return (await promisify(execFile)('dotnet', args, { env: ENV })).stdout.trim()
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    if (stdout) throw new Error(`dotnet ${args[0]}: ${stdout}`, { cause: error })
    throw error
  }
}

async function start(args: readonly string[], onEvent: (event: Appended) => void): Promise<MartenProcess> {
  const child = spawn('dotnet', [ASSEMBLY, ...args], { env: ENV, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface(child.stdout)
  const heard = (word: string): Promise<void> =>
    new Promise((resolve, reject) => {
      lines.on('line', (line) => line === word && resolve())
      child.once('error', reject)
      child.once('close', (code) => reject(new Error(`Marten's process ended with ${code}, never ${word}`)))
    })
  lines.on('line', (line) => {
    const [n, atMs] = line.split(' ')
    if (atMs !== undefined) onEvent({ n: Number(n), atMs: Number(atMs) })
  })
  await heard('ready')
  return {
    go: async () => {
      const done = heard('done')
      child.stdin.write('go\n')
      await done
    },
    stop: async () => {
      child.stdin.end()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}
