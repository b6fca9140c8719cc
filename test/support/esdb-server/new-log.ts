import { Log, systemEvent } from './log.ts'

/** A database as a server leaves it when it first started: with system events in it (SystemStreams.cs, UserManagementService.cs). */
export function newLog(base: bigint): Log {
  const log = new Log(base)
  log.append('$$$settings', [systemEvent('$metadata', { $acl: { $r: '$all', $w: '$admins' } })])
  log.append('$$$user-admin', [systemEvent('$metadata', { $acl: { $r: '$admins', $w: '$admins' } })])
  log.append('$user-admin', [systemEvent('$UserCreated', { loginName: 'admin', groups: ['$admins'] })])
  log.append('$users', [systemEvent('$User', 'admin')])
  return log
}
