/** What this process may do to files, found out before it begins, so that the user is told before and not after. */
import {readFileSync} from 'node:fs'
import {ImgtoolError} from '../errors.ts'

export interface Privileges {
  readonly uid: number
  readonly gid: number
  /** Permission bits that the system strips from new files. */
  readonly umask: number
  /** May give files to others. */
  readonly canChangeOwner: boolean
  /** May make device nodes. */
  readonly canMakeDevices: boolean
  /** May give files capabilities. */
  readonly canSetCapabilities: boolean
}

/** Bits of a capability set. @see capabilities(7), linux include/uapi/linux/capability.h */
const CAP_CHOWN = 0n
const CAP_MKNOD = 27n
const CAP_SETFCAP = 31n

/** @see proc(5), /proc/[pid]/status, CapEff */
export function readPrivileges(): Privileges {
  const status = readStatus()
  const [, hex = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? []
  const effective = BigInt(`0x${hex}`)
  const has = (capability: bigint) => ((effective >> capability) & 1n) === 1n
  return {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    umask: process.umask(),
    canChangeOwner: has(CAP_CHOWN),
    canMakeDevices: has(CAP_MKNOD) && isInitialNamespace(),
    canSetCapabilities: has(CAP_SETFCAP),
  }
}

function readStatus(): string {
  try {
    return readFileSync('/proc/self/status', 'latin1')
  } catch (error) {
    // Directories are held by descriptors, and some things can be done to what a descriptor holds by its name there only.
    throw new ImgtoolError('PLATFORM_UNSUPPORTED', 'Cannot unpack without /proc', {cause: error})
  }
}

/** In a user namespace of its own even root may not make devices. @see user_namespaces(7) */
function isInitialNamespace(map = readUserMap()): boolean {
  return map === undefined || /^\s*0\s+0\s+4294967295\s*$/.test(map)
}

/** Whether this is a user namespace whose root is root outside of it, too: files do not show who of the two made them. */
export function isNamespaceOfRoot(): boolean {
  const map = readUserMap()
  return !isInitialNamespace(map) && /^\s*0\s+0\s/m.test(map ?? '')
}

/** @returns undefined where the kernel has no user namespaces */
function readUserMap(): string | undefined {
  try {
    return readFileSync('/proc/self/uid_map', 'latin1')
  } catch {
    return undefined
  }
}

/** The set-user-id and set-group-id bits, which let anybody act as the file's owner. @see inode(7) */
const actAsOwner = 0o6000

/** The mode of a file that could not be given to its owner: it must not let others act as whoever has it instead. */
export function withoutOwner(mode: number): number {
  return mode & ~actAsOwner
}

/**
 * What an unpacked image will lack.
 *
 * @returns undefined when nothing, else one sentence
 */
export function describeLosses(privileges: Privileges): string | undefined {
  const lost = [
    ...(privileges.canChangeOwner ? [] : ['owners', 'set-user-id and set-group-id bits of their files']),
    ...(privileges.canMakeDevices ? [] : ['device nodes']),
    ...(privileges.canSetCapabilities ? [] : ['file capabilities']),
  ]
  if (lost.length === 0) return undefined
  return `Running as uid ${privileges.uid}: ${lost.join(', ').replace(/, ([^,]*)$/, ' and $1')} cannot be kept`
}
