/** Which extended attributes of a layer reach the file system: those that belong to the image and harm nothing. */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'

export type XattrVerdict = 'keep' | 'drop' | 'warn'

/** Attributes that describe the machine the image was made on; every tool leaves them out. */
const hostSpecific = new Set(['security.selinux', 'security.ima', 'security.evm', 'system.nfs4_acl'])
/** Rules of a directory for the modes of what is made inside. @see acl(5), "OBJECT CREATION AND DEFAULT ACLs" */
export const inheritedName = 'system.posix_acl_default'
const storageOrders = ['user.overlay.', 'trusted.overlay.', 'user.fuseoverlayfs.', 'user.containers.override_stat']
/** The ACL of a file itself. */
export const accessName = 'system.posix_acl_access'
const accessLists = new Set([accessName, inheritedName])

/**
 * Decides on an attribute by its name.
 *
 * `trusted.overlay.*` and `user.overlay.*` are orders to the kernel's overlay file system: with them a layer could hide
 * files of another or show ones that are not its own, as soon as the tree is used as a lower directory. The names of
 * fuse-overlayfs and of container storage are the same to those: owners, modes and device numbers that they believe more
 * than the file itself.
 *
 * @see linux Documentation/filesystems/overlayfs.rst; fuse-overlayfs(1), "xattr_permissions"
 */
export function judgeXattr(name: ByteString): XattrVerdict {
  if (hostSpecific.has(name)) return 'drop'
  if (storageOrders.some((prefix) => name.startsWith(prefix))) return 'warn'
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
