import { spawnSync } from 'node:child_process'
import {
  chownSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { serverAccount, temporaryRoot } from '@tidemark-internal/embedded-postgres'

/** A disk of a few megabytes in memory, which can be filled. */
export interface SmallDisk {
  /** Belongs to the account that PostgreSQL runs as. */
  readonly folder: string
  /** Leaves not one page free. */
  fill(): void
  /** Takes that away again, if it is there. */
  free(): void
  /** Gives the disk back, whatever still uses it. */
  unmount(): void
}

const mounts = (folder: string): boolean =>
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'tmpfs', folder]).status === 0

function unmount(folder: string): void {
  spawnSync('umount', ['--lazy', folder])
  rmdirSync(folder)
}

function newFolder(): string {
  return mkdtempSync(join(temporaryRoot(serverAccount()), 'tidemark-disk-'))
}

function canMount(): boolean {
  if (process.getuid?.() !== 0) return false
  const folder = newFolder()
  if (mounts(folder)) {
    unmount(folder)
    return true
  }
  rmdirSync(folder)
  return false
}

/** Whether tests that need it are skipped, and what their name then says. In CI they fail where it cannot be mounted. */
export const isSkipped: boolean = process.env.CI !== 'true' && !canMount()
export const because: string = isSkipped ? ' (skipped: only root may mount a disk, see CONTRIBUTING.md)' : ''

/** It goes with `unmount`, and with this process. */
export function smallDisk(): SmallDisk {
  const folder = newFolder()
  if (!mounts(folder)) {
    rmdirSync(folder)
    throw new Error(
      'a disk in memory cannot be mounted: this test has to run as root, with the right to mount',
    )
  }
  const atExit = (): void => unmount(folder)
  process.once('exit', atExit)
  const account = serverAccount()
  if (account) chownSync(folder, account.uid, account.gid)
  const filler = join(folder, 'filler')
  return {
    folder,
    fill: () => {
      fill(filler)
      const { bavail } = statfsSync(folder)
      if (bavail !== 0) throw new Error(`the disk still has ${bavail} pages free`)
    },
    free: () => rmSync(filler, { force: true }),
    unmount: () => {
      process.removeListener('exit', atExit)
      unmount(folder)
    },
  }
}

function fill(file: string): void {
  const handle = openSync(file, 'w')
  const page = Buffer.alloc(4_096)
  try {
    for (;;) writeSync(handle, page)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(handle)
  }
}
