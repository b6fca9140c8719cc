import { readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'

export interface Account {
  readonly uid: number
  readonly gid: number
}

/** PostgreSQL refuses to run as root: the account it runs under instead, or undefined when we are not root. */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const found = accounts.find((fields) => fields[0] === name)
    if (found) return { uid: Number(found[2]), gid: Number(found[3]) }
  }
  throw new Error(
    'running as root, and there is neither an account "postgres" nor "nobody" to run PostgreSQL as',
  )
}

/** Whether another account can reach into this folder: every parent has to let it through. */
export function isTraversable(folder: string): boolean {
  if ((statSync(folder).mode & 0o001) === 0) return false
  const parent = dirname(folder)
  return parent === folder || isTraversable(parent)
}

/** A folder for temporary files that the server's account can reach. */
export function temporaryRoot(account: Account | undefined): string {
  return account === undefined || isTraversable(tmpdir()) ? tmpdir() : '/tmp'
}
