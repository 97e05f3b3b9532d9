/**
 * The system calls of Linux that mount and unmount, as `libc.ts` has the others: names are byte strings, structures are
 * Buffers, and every call returns what the system returns, with `-errno` for -1.
 *
 * A file system is made in a context that takes its options one by one, so that no page of options limits them, and tells in
 * words what it refuses. `mount` is what there was before.
 *
 * @see fsopen(2), fsconfig(2), fsmount(2), move_mount(2), mount(2), umount2(2)
 */
import {closeSync, constants, openSync, readSync} from 'node:fs'
import koffi from 'koffi'
import type {ByteString} from '../text.ts'
import {type SystemFunction, systemCall} from './call.ts'

const libc = koffi.load(null)

/** The same numbers on x64 and arm64. @see linux include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls/syscall_64.tbl */
const SYS_move_mount = 429
const SYS_fsopen = 430
const SYS_fsconfig = 431
const SYS_fsmount = 432
/** @see linux include/uapi/linux/mount.h */
const FSOPEN_CLOEXEC = 1
const FSMOUNT_CLOEXEC = 1
const FSCONFIG_SET_FLAG = 0
const FSCONFIG_SET_STRING = 1
const FSCONFIG_CMD_CREATE = 6
const MOVE_MOUNT_F_EMPTY_PATH = 0x04
const MOVE_MOUNT_T_EMPTY_PATH = 0x40
export const MS_RDONLY = 1
const MS_REMOUNT = 32
const MS_BIND = 4096
const UMOUNT_NOFOLLOW = 8
const SEEK_END = 2

const declare = (signature: string) => systemCall(libc.func(signature) as SystemFunction)

const calls = {
  fsopen: declare('long syscall(long, const void *, unsigned int)'),
  setString: declare('long syscall(long, int, unsigned int, const void *, const void *, int)'),
  // The pointers that must be null are declared as the number 0.
  setFlag: declare('long syscall(long, int, unsigned int, const void *, long, int)'),
  fsmount: declare('long syscall(long, int, unsigned int, unsigned int)'),
  moveMount: declare('long syscall(long, int, const void *, int, const void *, unsigned int)'),
  mount: declare('int mount(const void *, const void *, const void *, unsigned long, const void *)'),
  umount: declare('int umount2(const void *, int)'),
  lseek: declare('int64_t lseek(int, int64_t, int)'),
} as const

/** Never asked twice: a context that failed once says EBUSY from then on. */
const createOnce = libc.func('long syscall(long, int, unsigned int, long, long, int)')

const text = (bytes: ByteString) => Buffer.from(`${bytes}\0`, 'latin1')
const nothing = text('')

/**
 * Opens a context in which a file system is put together. Nothing is mounted yet; whoever opened it closes it.
 *
 * @returns a descriptor; ENODEV where the kernel has no such file system, ENOSYS before Linux 5.2
 */
export function openFileSystem(type: ByteString): number {
  return calls.fsopen(SYS_fsopen, text(type), FSOPEN_CLOEXEC)
}

/** The longest value that {@link setOption} can hand over. @see linux fs/fsopen.c, FSCONFIG_SET_STRING: strndup_user of 256 */
export const longestOptionValue = 255

export function setOption(context: number, name: ByteString, value: ByteString): number {
  return calls.setString(SYS_fsconfig, context, FSCONFIG_SET_STRING, text(name), text(value), 0)
}

/** Sets an option that has no value. */
export function setFlag(context: number, name: ByteString): number {
  return calls.setFlag(SYS_fsconfig, context, FSCONFIG_SET_FLAG, text(name), 0, 0)
}

/** Makes the file system of the options that were set. */
export function createFileSystem(context: number): number {
  const result = Number(createOnce(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0))
  return result < 0 ? -koffi.errno() : result
}

/**
 * What the file system says of its options since this was asked last, oldest first, each once: a call that failed was made
 * several times.
 */
export function readMessages(context: number): string[] {
  // A letter for the severity and a blank come first.
  return [...new Set(readRecords(context).map((record) => record.slice(2).trim()))]
}

/** What the kernel logs from now on: file systems tell some reasons only there. */
export class KernelLog implements Disposable {
  readonly #descriptor: number | undefined

  constructor() {
    try {
      this.#descriptor = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK)
      calls.lseek(this.#descriptor, 0, SEEK_END)
    } catch {
      // It belongs to root, and not to that of a container.
      this.#descriptor = undefined
    }
  }

  /**
   * Messages of one part of the kernel, of whatever process, oldest first, each once; none where the log may not be read.
   *
   * @see linux Documentation/ABI/testing/dev-kmsg: numbers, a semicolon, the message, lines of details
   */
  read(part: string): string[] {
    if (this.#descriptor === undefined) return []
    const messages = readRecords(this.#descriptor).map((record) => /;(.*)/.exec(record)?.[1] ?? '')
    return [...new Set(messages.filter((message) => message.startsWith(`${part}: `)))]
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
  }
}

/** Reads what gives one record a time, until it has no more and says so by ENODATA or EAGAIN. */
function readRecords(descriptor: number): string[] {
  const records: string[] = []
  const room = Buffer.alloc(8192)
  for (;;) {
    try {
      const length = readSync(descriptor, room)
      if (length === 0) return records
      records.push(room.toString('utf8', 0, length))
    } catch {
      return records
    }
  }
}

/** @returns a descriptor of the root of a mount that has no place yet and goes with its descriptor */
export function containerFileSystem(context: number): number {
  return calls.fsmount(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0)
}

/** Gives a mount its place. @param directory O_PATH descriptor of the mount point */
export function attachMount(mount: number, directory: number): number {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
  return calls.moveMount(SYS_move_mount, mount, nothing, directory, nothing, flags)
}

/** The longest string of options that {@link mount} hands over; the rest is cut silently. @see mount(2): one page, with its NUL */
export const longestOptions = 4095

/** @param options up to {@link longestOptions} bytes, which the caller has checked */
export function mount(
  source: ByteString,
  target: ByteString,
  type: ByteString,
  flags: number,
  options: ByteString,
): number {
  return calls.mount(text(source), text(target), text(type), flags, text(options))
}

/** Shows a directory at another place as well. */
export function bind(source: ByteString, target: ByteString): number {
  return mount(source, target, '', MS_BIND, '')
}

/** Keeps everybody from writing through a mount of {@link bind}. */
export function makeReadOnly(target: ByteString): number {
  return mount('', target, '', MS_BIND | MS_REMOUNT | MS_RDONLY, '')
}

/** Takes the topmost mount off a mount point; EBUSY while it is used, EINVAL where nothing is mounted. */
export function unmount(target: ByteString): number {
  return calls.umount(text(target), UMOUNT_NOFOLLOW)
}
