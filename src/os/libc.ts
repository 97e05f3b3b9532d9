/**
 * The system calls of Linux that Node lacks, and the descriptor-relative forms of those that it has.
 *
 * Names are byte strings. Every call returns what the system returns, with `-errno` for -1, because "it exists already" and
 * "it is not there" are ordinary answers here and exceptions are slow. Structures are passed as Buffers only, never as
 * objects: a thread that ends inside a conversion would crash the process.
 */
import {constants as fsConstants, readSync, writeSync} from 'node:fs'
import {constants} from 'node:os'
import koffi from 'koffi'
import {codeOfErrno, type ErrorCode, errnoReasons, ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import {type SystemFunction, systemCall} from './call.ts'

const libc = koffi.load(null)

/** @see linux include/uapi/asm-generic/fcntl.h, include/uapi/linux/openat2.h, include/uapi/linux/stat.h */
export const O_RDONLY = 0
export const O_WRONLY = 1
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const {O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK} = fsConstants
const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000
/** Opens a directory as a place to work in: nothing is read of it, and a symlink is none. */
export const O_PLACE = O_PATH | O_DIRECTORY | O_NOFOLLOW
/** In the place of a directory's descriptor: paths are relative to the working directory, or absolute. */
export const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_REMOVEDIR = 0x200
const AT_EMPTY_PATH = 0x1000
const RESOLVE_NO_MAGICLINKS = 0x02
const RESOLVE_NO_SYMLINKS = 0x04
const RESOLVE_BENEATH = 0x08
const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2
/** The same number on every architecture that Node runs on. */
const SYS_openat2 = 437
const SYS_renameat2 = process.arch === 'arm64' ? 276 : 316
const SEEK_DATA = 3
const SEEK_HOLE = 4
/** @see linux include/uapi/linux/fs.h: _IOW(0x94, 9, int) */
const FICLONE = 0x40049409
const LOCK_SH_NB = 1 | 4
const LOCK_EX_NB = 2 | 4
const LOCK_UN = 8

export const S_IFMT = 0o170000
export const S_IFREG = 0o100000
export const S_IFDIR = 0o040000
export const S_IFLNK = 0o120000
export const S_IFCHR = 0o020000
export const S_IFBLK = 0o060000
export const S_IFIFO = 0o010000

const declare = (signature: string) => systemCall(libc.func(signature) as SystemFunction)

const calls = {
  openat: declare('int openat(int, const void *, int, uint32_t)'),
  openat2: declare('long syscall(long, int, const void *, const void *, size_t)'),
  mkdirat: declare('int mkdirat(int, const void *, uint32_t)'),
  unlinkat: declare('int unlinkat(int, const void *, int)'),
  symlinkat: declare('int symlinkat(const void *, int, const void *)'),
  linkat: declare('int linkat(int, const void *, int, const void *, int)'),
  readlinkat: declare('intptr_t readlinkat(int, const void *, void *, size_t)'),
  mknodat: declare('int mknodat(int, const void *, uint32_t, uint64_t)'),
  fchownat: declare('int fchownat(int, const void *, uint32_t, uint32_t, int)'),
  fchmod: declare('int fchmod(int, uint32_t)'),
  chmod: declare('int chmod(const void *, uint32_t)'),
  futimens: declare('int futimens(int, const void *)'),
  utimensat: declare('int utimensat(int, const void *, const void *, int)'),
  lseek: declare('int64_t lseek(int, int64_t, int)'),
  ioctl: declare('int ioctl(int, unsigned long, int)'),
  ftruncate: declare('int ftruncate(int, int64_t)'),
  statx: declare('int statx(int, const void *, int, unsigned int, void *)'),
  setxattr: declare('int setxattr(const void *, const void *, const void *, size_t, int)'),
  lsetxattr: declare('int lsetxattr(const void *, const void *, const void *, size_t, int)'),
  lgetxattr: declare('intptr_t lgetxattr(const void *, const void *, void *, size_t)'),
  getxattr: declare('intptr_t getxattr(const void *, const void *, void *, size_t)'),
  listxattr: declare('intptr_t listxattr(const void *, void *, size_t)'),
  removexattr: declare('int removexattr(const void *, const void *)'),
  renameat2: declare('long syscall(long, int, const void *, int, const void *, unsigned int)'),
  flock: declare('int flock(int, int)'),
} as const

/** Never asked twice: a number that is closed may be another file's by then, and what could not be written is said once. */
const once = {
  close: libc.func('int close(int)'),
  syncfs: libc.func('int syncfs(int)'),
} as const

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number as number, name]))
const {errno} = constants

export const EMFILE = -errno.EMFILE
export const EEXIST = -errno.EEXIST
export const ENOENT = -errno.ENOENT
export const ENOTDIR = -errno.ENOTDIR
export const EISDIR = -errno.EISDIR
export const ENOTEMPTY = -errno.ENOTEMPTY
export const EINVAL = -errno.EINVAL
export const EPERM = -errno.EPERM
export const EACCES = -errno.EACCES
export const EAGAIN = -errno.EAGAIN
export const EXDEV = -errno.EXDEV
export const EBUSY = -errno.EBUSY
export const ENXIO = -errno.ENXIO
export const ENODEV = -errno.ENODEV
export const EROFS = -errno.EROFS
export const ENODATA = -errno.ENODATA
export const EOPNOTSUPP = -errno.EOPNOTSUPP

/** `ENOENT` for -2. */
export function errnoName(result: number): string {
  return errnoNames.get(-result) ?? `errno ${-result}`
}

/**
 * Passes a result on or throws what it means.
 *
 * @param action completes "Cannot …"
 * @param path is what it was done to; the message is only made when it is needed
 * @throws {ImgtoolError} NO_SPACE, PERMISSION_DENIED, ENTRY_INVALID for a name that is too long, LINK_INVALID, SYSTEM_ERROR
 */
export function check(result: number, action: string, path?: ByteString): number {
  if (result >= 0) return result
  throw systemError(errnoName(result), path === undefined ? action : `${action} "${printable(path)}"`)
}

/** The error for a system call that failed with an errno such as `ENOSPC`. */
export function systemError(name: string, action: string, cause?: unknown): ImgtoolError {
  const [code, reason] = entryErrors[name] ?? explainErrno(name)
  return new ImgtoolError(code, `Cannot ${action}: ${reason}`, cause === undefined ? {} : {cause})
}

/** What is said of the names and links of entries, which these calls are about. */
const entryErrors: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENAMETOOLONG: ['ENTRY_INVALID', 'a name is too long'],
  ELOOP: ['LINK_INVALID', 'too many symlinks'],
}

function explainErrno(name: string): readonly [ErrorCode, string] {
  const code = codeOfErrno(name)
  if (name === 'EROFS') return [code, 'the file system is read-only']
  const reason = errnoReasons[code]
  return [code, reason === undefined ? name : `${name}, ${reason}`]
}

/** Room for one path and its NUL; what is longer than PATH_MAX is cut and then refused by the system as too long. */
const pathRoom = 8192
const scratch = [Buffer.alloc(pathRoom), Buffer.alloc(pathRoom)] as const

function path(name: ByteString, slot: 0 | 1 = 0): Buffer {
  const buffer = scratch[slot]
  const written = buffer.write(name, 0, pathRoom - 1, 'latin1')
  buffer[written] = 0
  return buffer
}

/** @returns a descriptor */
export function openAt(directory: number, name: ByteString, flags: number, mode = 0): number {
  return calls.openat(directory, path(name), flags | O_CLOEXEC, mode)
}

const openHow = Buffer.alloc(24)

/** Opens a directory below another as O_PATH, with no symlink on the way. @returns a descriptor; ENOSYS or EPERM where the kernel has no openat2 */
export function openDirectoryBeneath(root: number, name: ByteString): number {
  openHow.writeBigUInt64LE(BigInt(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0)
  openHow.writeBigUInt64LE(BigInt(RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH), 16)
  return calls.openat2(SYS_openat2, root, path(name), openHow, openHow.length)
}

export function close(descriptor: number): void {
  once.close(descriptor)
}

export function makeDirectoryAt(directory: number, name: ByteString, mode: number): number {
  return calls.mkdirat(directory, path(name), mode)
}

export function unlinkAt(directory: number, name: ByteString): number {
  return calls.unlinkat(directory, path(name), 0)
}

export function removeDirectoryAt(directory: number, name: ByteString): number {
  return calls.unlinkat(directory, path(name), AT_REMOVEDIR)
}

export function symlinkAt(target: ByteString, directory: number, name: ByteString): number {
  return calls.symlinkat(path(target, 1), directory, path(name))
}

/** Links the name itself, also when it is a symlink. */
export function linkAt(fromDirectory: number, from: ByteString, toDirectory: number, to: ByteString): number {
  return calls.linkat(fromDirectory, path(from, 1), toDirectory, path(to), 0)
}

const linkRoom = Buffer.alloc(4097)

/** @returns the target, or a negative errno: EINVAL for what is no symlink */
export function readLinkAt(directory: number, name: ByteString): ByteString | number {
  const length = calls.readlinkat(directory, path(name), linkRoom, linkRoom.length)
  return length < 0 ? length : linkRoom.toString('latin1', 0, length)
}

/** @param mode type and permissions */
export function makeNodeAt(directory: number, name: ByteString, mode: number, major: number, minor: number): number {
  // The layout of glibc's makedev(3): low and high parts of both numbers are interleaved.
  const device = ((minor & 0xff) | ((major & 0xfff) << 8)) + (minor & ~0xff) * 0x1000
  return calls.mknodat(directory, path(name), mode, device)
}

export function changeOwnerAt(directory: number, name: ByteString, uid: number, gid: number): number {
  return calls.fchownat(directory, path(name), uid, gid, AT_SYMLINK_NOFOLLOW)
}

export function changeOwner(descriptor: number, uid: number, gid: number): number {
  return calls.fchownat(descriptor, path(''), uid, gid, AT_EMPTY_PATH)
}

/** For descriptors that are open for reading or writing. */
export function changeMode(descriptor: number, mode: number): number {
  return calls.fchmod(descriptor, mode)
}

/** For O_PATH descriptors, of which the kernel follows the magic link and nothing else. */
export function changeModeOfPath(descriptor: number, mode: number): number {
  return calls.chmod(path(descriptorPath(descriptor)), mode)
}

const times = Buffer.alloc(32)
/** `tv_nsec` that leaves the access time to the kernel. @see utimensat(2) */
const UTIME_NOW = 0x3fffffff

function setTimes(seconds: number, nanoseconds: number): Buffer {
  times.writeBigInt64LE(BigInt(UTIME_NOW), 8)
  times.writeBigInt64LE(BigInt(seconds), 16)
  times.writeBigInt64LE(BigInt(nanoseconds), 24)
  return times
}

/** Sets the modification time, never through a symlink. */
export function changeTimeAt(directory: number, name: ByteString, seconds: number, nanoseconds: number): number {
  return calls.utimensat(directory, path(name), setTimes(seconds, nanoseconds), AT_SYMLINK_NOFOLLOW)
}

/** Sets the modification time of an open file that is no O_PATH descriptor. */
export function changeTime(descriptor: number, seconds: number, nanoseconds: number): number {
  return calls.futimens(descriptor, setTimes(seconds, nanoseconds))
}

/** Sets the modification time of what an O_PATH descriptor holds. */
export function changeTimeOfPath(descriptor: number, seconds: number, nanoseconds: number): number {
  return calls.utimensat(AT_FDCWD, path(descriptorPath(descriptor)), setTimes(seconds, nanoseconds), 0)
}

/**
 * Writes all bytes.
 *
 * @param position in the file; undefined for behind what was written last
 * @returns 0, or a negative errno
 */
export function write(descriptor: number, bytes: Buffer, position?: number): number {
  try {
    for (let done = 0; done < bytes.length; ) {
      const at = position === undefined ? null : position + done
      done += writeSync(descriptor, bytes, done, bytes.length - done, at)
    }
    return 0
  } catch (error) {
    return errnoOf(error)
  }
}

function errnoOf(error: unknown): number {
  const {code} = error as NodeJS.ErrnoException
  return -((errno as Record<string, number>)[code ?? ''] ?? errno.EIO)
}

/** @returns bytes read, 0 at the end, or a negative errno */
export function read(descriptor: number, into: Buffer, position: number): number {
  try {
    return readSync(descriptor, into, 0, into.length, position)
  } catch (error) {
    return errnoOf(error)
  }
}

export function truncate(descriptor: number, size: number): number {
  return calls.ftruncate(descriptor, size)
}

/** Where data begins at or behind a position; ENXIO where there is none. @see lseek(2) */
export function seekData(descriptor: number, position: number): number {
  return calls.lseek(descriptor, position, SEEK_DATA)
}

/** Where a hole begins at or behind a position; at the end of a file there always is one. */
export function seekHole(descriptor: number, position: number): number {
  return calls.lseek(descriptor, position, SEEK_HOLE)
}

/** Lets an empty file share the content of another, on file systems that can do that. */
export function cloneFile(from: number, to: number): number {
  return calls.ioctl(to, FICLONE, from)
}

/** What a file is. */
export interface Status {
  /** Type and permissions. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Names that lead to it. */
  readonly links: number
  readonly size: number
  readonly mtime: {readonly seconds: number; readonly nanoseconds: number}
  /** Of a device node. */
  readonly major: number
  readonly minor: number
  /** Of the file system. */
  readonly device: string
  /** Device and inode number: the same file has the same. */
  readonly identity: string
}

const statusRoom = Buffer.alloc(256)
/** All but times of access and birth. @see linux include/uapi/linux/stat.h, STATX_BASIC_STATS */
const STATX_WANTED = 0x7ff

/** Status of a name, of the link itself when it is one; of the descriptor for an empty name. */
export function statusAt(directory: number, name: ByteString): Status | number {
  const flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH
  const failed = calls.statx(directory, path(name), flags, STATX_WANTED, statusRoom)
  if (failed < 0) return failed
  return {
    mode: statusRoom.readUInt16LE(28),
    uid: statusRoom.readUInt32LE(20),
    gid: statusRoom.readUInt32LE(24),
    links: statusRoom.readUInt32LE(16),
    size: Number(statusRoom.readBigUInt64LE(40)),
    mtime: {seconds: Number(statusRoom.readBigInt64LE(112)), nanoseconds: statusRoom.readUInt32LE(120)},
    major: statusRoom.readUInt32LE(128),
    minor: statusRoom.readUInt32LE(132),
    device: statusRoom.toString('latin1', 136, 144),
    identity: statusRoom.toString('latin1', 32, 40) + statusRoom.toString('latin1', 136, 144),
  }
}

/** Status of what a descriptor is open on, O_PATH or not. @param path for errors. @throws {ImgtoolError} as {@link check} */
export function statusOf(descriptor: number, path: ByteString): Status {
  const status = statusAt(descriptor, '')
  if (typeof status === 'number') throw systemError(errnoName(status), `inspect "${printable(path)}"`)
  return status
}

/** Whether a name is a directory itself, not a symlink to one. */
export function isDirectoryAt(directory: number, name: ByteString): boolean {
  const status = statusAt(directory, name)
  return typeof status !== 'number' && (status.mode & S_IFMT) === S_IFDIR
}

function bytes(value: ByteString): Buffer {
  return Buffer.from(value, 'latin1')
}

/** Sets an xattr of what a descriptor holds, O_PATH or not. */
export function setXattr(descriptor: number, name: ByteString, value: ByteString): number {
  return calls.setxattr(path(descriptorPath(descriptor)), path(name, 1), bytes(value), value.length, 0)
}

/** Sets an xattr of a name, of the link itself when it is one. */
export function setXattrAt(directory: number, at: ByteString, name: ByteString, value: ByteString): number {
  return calls.lsetxattr(path(`${descriptorPath(directory)}/${at}`), path(name, 1), bytes(value), value.length, 0)
}

/** For the longest value of an xattr, or all names. @see linux include/uapi/linux/limits.h, XATTR_SIZE_MAX, XATTR_LIST_MAX */
const xattrRoom = Buffer.alloc(65_536)

/** @returns the value of an xattr of what a descriptor holds, or a negative errno */
export function getXattr(descriptor: number, name: ByteString): ByteString | number {
  const length = calls.getxattr(path(descriptorPath(descriptor)), path(name, 1), xattrRoom, xattrRoom.length)
  return length < 0 ? length : xattrRoom.toString('latin1', 0, length)
}

/** @returns the value of an xattr of a name, of the link itself when it is one, or a negative errno */
export function getXattrAt(directory: number, at: ByteString, name: ByteString): ByteString | number {
  const length = calls.lgetxattr(path(`${descriptorPath(directory)}/${at}`), path(name, 1), xattrRoom, xattrRoom.length)
  return length < 0 ? length : xattrRoom.toString('latin1', 0, length)
}

/** @returns names, or a negative errno */
export function listXattrs(descriptor: number): ByteString[] | number {
  const length = calls.listxattr(path(descriptorPath(descriptor)), xattrRoom, xattrRoom.length)
  return length < 0 ? length : xattrRoom.toString('latin1', 0, length).split('\0').slice(0, -1)
}

export function removeXattr(descriptor: number, name: ByteString): number {
  return calls.removexattr(path(descriptorPath(descriptor)), path(name, 1))
}

/** Renames within the kernel's own checks: fails with EEXIST when the new name exists. */
export function renameNoReplaceAt(
  fromDirectory: number,
  from: ByteString,
  toDirectory: number,
  to: ByteString,
): number {
  return calls.renameat2(SYS_renameat2, fromDirectory, path(from, 1), toDirectory, path(to), RENAME_NOREPLACE)
}

/** Renames over an empty directory, or over nothing. */
export function renameAt(fromDirectory: number, from: ByteString, toDirectory: number, to: ByteString): number {
  return calls.renameat2(SYS_renameat2, fromDirectory, path(from, 1), toDirectory, path(to), 0)
}

/** Two names change places, at once. */
export function exchangeAt(directory: number, one: ByteString, other: ByteString): number {
  return calls.renameat2(SYS_renameat2, directory, path(one, 1), directory, path(other), RENAME_EXCHANGE)
}

/** Takes an exclusive lock, or fails with EAGAIN. It ends with the descriptor, whatever ends the process. */
export function lock(descriptor: number): number {
  return calls.flock(descriptor, LOCK_EX_NB)
}

/** Takes a lock that others may have as well, or fails with EAGAIN; an exclusive one that the descriptor has becomes it. */
export function lockShared(descriptor: number): number {
  return calls.flock(descriptor, LOCK_SH_NB)
}

export function unlock(descriptor: number): number {
  return calls.flock(descriptor, LOCK_UN)
}

/** Writes what the file system has in memory. */
export function syncFileSystem(descriptor: number): number {
  return once.syncfs(descriptor) < 0 ? -koffi.errno() : 0
}

/** A path to what a descriptor holds. @see proc(5) */
export function descriptorPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`
}
