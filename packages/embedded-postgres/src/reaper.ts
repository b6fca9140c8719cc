import { spawn } from 'node:child_process'

// Waits for the end of its input, which comes when this process ends in whatever way (SIGKILL too), or when it
// is told to. Then stops the server of that folder at once, if there still is one, and deletes the folder.
const SCRIPT = `
cat > /dev/null
pidfile="$1/data/postmaster.pid"
if [ -s "$pidfile" ]; then kill -QUIT "$(head -n 1 "$pidfile")"; fi
tries=0
while [ -e "$pidfile" ] && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$1"
`

export interface Reaper {
  /** Ends the reaper; whatever is left in its folder goes with it. */
  release(): Promise<void>
}

/** Sees to it that no server and no folder outlives this process. */
export function startReaper(folder: string): Reaper {
  // Detached: Ctrl-C in a terminal is sent to the whole foreground group, and must not end the reaper.
  const child = spawn('sh', ['-c', SCRIPT, 'reaper', folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', () => resolve())
  })
  ended.catch(() => {})
  child.unref()
  ;(child.stdin as unknown as { unref(): void }).unref()
  return {
    release: async () => {
      child.ref()
      child.stdin.end()
      await ended
    },
  }
}
