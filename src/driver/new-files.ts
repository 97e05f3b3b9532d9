/** Whose new files are: as a rule of whoever makes them, but some file systems give them the group of their directory. */
import {randomBytes} from 'node:crypto'
import * as os from '../os/libc.ts'
import {createFile} from './file-orders.ts'
import type {Privileges} from './privileges.ts'

/**
 * Finds out whether new files belong to this process wherever it makes them, by making one in a directory of another group:
 * mount options do not tell it, as they may be in the file system itself, or on another machine.
 *
 * Leaves the directory as it was. Costs some ten system calls.
 *
 * @param directory descriptor
 * @returns false where it is not so, or cannot be told
 * @see mount(8), `grpid`; ext4(5), `bsdgroups`; xfs(5), `grpid`
 */
export function areNewFilesOurs(directory: number, privileges: Privileges): boolean {
  const group = otherGroup(privileges)
  if (group === undefined) return true
  const before = os.statusAt(directory, '')
  const name = randomBytes(16).toString('hex')
  if (os.makeDirectoryAt(directory, name, 0o700) < 0) return false
  const inside = os.openAt(directory, name, os.O_PLACE)
  try {
    if (inside < 0 || os.changeOwner(inside, privileges.uid, group) < 0) return false
    // It may have got a set-group-id bit, which is no rule of the file system.
    return os.changeModeOfPath(inside, 0o700) === 0 && isNewFileOurs(inside, privileges)
  } finally {
    if (inside >= 0) os.close(inside)
    os.removeDirectoryAt(directory, name)
    if (typeof before !== 'number') os.changeTimeOfPath(directory, before.mtime.seconds, before.mtime.nanoseconds)
  }
}

/** One that a directory could get here, too; undefined where all have ours. */
function otherGroup({gid, canChangeOwner}: Privileges): number | undefined {
  if (canChangeOwner) return gid === 0 ? 1 : 0
  return process.getgroups?.().find((group) => group !== gid)
}

function isNewFileOurs(directory: number, {uid, gid}: Privileges): boolean {
  const name = 'file'
  const file = createFile(directory, name, 0o600)
  if (file < 0) return false
  const status = os.statusAt(file, '')
  os.close(file)
  os.unlinkAt(directory, name)
  return typeof status !== 'number' && status.uid === uid && status.gid === gid
}
