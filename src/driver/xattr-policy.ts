/** Which extended attributes of a layer reach the file system: those that belong to the image and harm nothing. */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'

export type XattrVerdict = 'keep' | 'drop' | 'warn'

/** Attributes that describe the machine the image was made on; every tool leaves them out. */
const hostSpecific = new Set(['security.selinux', 'security.ima', 'security.evm', 'system.nfs4_acl'])
/** Rules of a directory for the modes of what is made inside. @see acl(5), "OBJECT CREATION AND DEFAULT ACLs" */
export const inheritedName = 'system.posix_acl_default'
const accessLists = new Set(['system.posix_acl_access', inheritedName])

/**
 * Decides on an attribute by its name.
 *
 * `trusted.overlay.*` and `user.overlay.*` are orders to the kernel's overlay file system: with them a layer could hide
 * files of another or show ones that are not its own, as soon as the tree is used as a lower directory.
 *
 * @see linux Documentation/filesystems/overlayfs.rst
 */
export function judgeXattr(name: ByteString): XattrVerdict {
  if (hostSpecific.has(name)) return 'drop'
  if (name.startsWith('user.overlay.') || name.startsWith('trusted.overlay.')) return 'warn'
  if (name.startsWith('user.') || name === capabilityName || accessLists.has(name)) return 'keep'
  return 'warn'
}

export const capabilityName = 'security.capability'

/**
 * Checks a file capability, which the kernel would take as privileges.
 *
 * @throws {ImgtoolError} ENTRY_INVALID
 * @see linux include/uapi/linux/capability.h, vfs_cap_data: revision in the top byte, 12, 20 or 24 bytes
 */
export function checkCapability(value: ByteString): void {
  const revision = value.charCodeAt(3)
  const sizes: Partial<Record<number, number>> = {1: 12, 2: 20, 3: 24}
  if (value.length > 3 && sizes[revision] === value.length) return
  throw new ImgtoolError('ENTRY_INVALID', `The file capability "${printable(value).slice(0, 60)}" is malformed`)
}
