/**
 * Mounts layers that spell deletions as aufs does: by aufs itself where the kernel has it, which no distribution's has any
 * more, else by the program fuse-overlayfs, which reads the same layers.
 */
import {spawnSync} from 'node:child_process'
import {readFileSync} from 'node:fs'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import * as mounting from '../os/mount.ts'
import {type ByteString, printable, printableText, toText} from '../text.ts'
import type {OverlayMount} from './mount-overlay.ts'
import {openMountPoint} from './mounts.ts'
import {OptionNames} from './option-names.ts'

/** The work directory is for fuse-overlayfs; aufs leaves it alone. */
export type AufsMount = Omit<OverlayMount, 'userxattr'>

/**
 * Mounts. Whoever calls it unmounts the target, with which the program ends.
 *
 * What is written through fuse-overlayfs has deletions in the form of overlay, as well as that of aufs where a directory
 * hides all below: the kernel's devices 0:0 are what it makes first.
 *
 * @throws {ImgtoolError} PLATFORM_UNSUPPORTED where there is neither, LIMIT_EXCEEDED, PERMISSION_DENIED, TARGET_INVALID,
 * TARGET_EXISTS, SYSTEM_ERROR with what the program says
 */
export function mountAufs(mount: AufsMount): 'aufs' | 'fuse-overlayfs' {
  using place = openMountPoint(mount.target)
  if (hasAufs()) {
    mountByKernel(mount, place.descriptor)
    return 'aufs'
  }
  mountByProgram(mount)
  return 'fuse-overlayfs'
}

/** @see proc(5), /proc/filesystems */
function hasAufs(): boolean {
  return /^\S*\taufs$/m.test(readFileSync('/proc/filesystems', 'latin1'))
}

const describe = ({target}: AufsMount) => `mount layers on "${printableText(target)}"`

function mountByKernel(mount: AufsMount, place: number): void {
  using names = new OptionNames('this')
  const options = names.fit(mounting.longestOptions, (name) => joinBranches(mount, name))
  if (options.length > mounting.longestOptions) throw tooLong(mount, options.length, mounting.longestOptions)
  const flags = mount.upper === undefined ? mounting.MS_RDONLY : 0
  os.check(mounting.mount('none', os.descriptorPath(place), 'aufs', flags, options), describe(mount))
}

/**
 * The options of aufs, as docker had them.
 *
 * @see aufs(5), "br:BRANCH[:BRANCH ...]", "xino=filename"; moby daemon/graphdriver/aufs/aufs.go, aufsMount
 */
export function joinBranches({lowers, upper}: AufsMount, name: (path: string) => ByteString): ByteString {
  const writable = upper === undefined ? [] : [`${name(upper)}=rw`]
  const branches = [...writable, ...lowers.map((path) => `${name(path)}=ro+wh`)]
  // Its table of inode numbers has to be where it can write, which layers alone are not.
  return `br:${branches.join(':')},dio,xino=/dev/shm/aufs.xino`
}

const program = 'fuse-overlayfs'
/** @see execve(2), "Limits on size of arguments": 32 pages, with the NUL */
const longestArgument = 131_071

function mountByProgram(mount: AufsMount): void {
  using names = new OptionNames('another')
  const options = names.fit(longestArgument, (name) => joinLayers(mount, name))
  if (options.length > longestArgument) throw tooLong(mount, options.length, longestArgument)
  // It goes into the background as soon as it has mounted.
  const {error, status, stderr} = spawnSync(program, ['-o', toText(options), mount.target], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'latin1',
  })
  if (error !== undefined) throw missing(mount, error)
  if (status !== 0) throw explain(mount, stderr)
}

/** The options of fuse-overlayfs, for which the upper directory's real path must have no colon. @see fuse-overlayfs(1) */
export function joinLayers({lowers, upper, work}: AufsMount, name: (path: string) => ByteString): ByteString {
  return [
    `lowerdir=${lowers.map(name).join(':')}`,
    ...(upper === undefined ? ['ro'] : [`upperdir=${name(upper)}`]),
    ...(work === undefined ? [] : [`workdir=${name(work)}`]),
  ].join(',')
}

function tooLong({lowers, target}: AufsMount, length: number, limit: number): ImgtoolError {
  const message = `Cannot mount ${lowers.length} layers on "${printableText(target)}": options can have ${limit} bytes, and these are ${length}`
  return new ImgtoolError('LIMIT_EXCEEDED', message, {hint: 'Make fewer layers of them first: imgtool squash'})
}

function missing(mount: AufsMount, cause: NodeJS.ErrnoException): ImgtoolError {
  if (cause.code !== 'ENOENT') return os.systemError(cause.code ?? 'EIO', `run ${program}`, cause)
  const why = `this kernel has no aufs, and ${program} is not installed`
  return new ImgtoolError('PLATFORM_UNSUPPORTED', `Cannot ${describe(mount)}: ${why}`, {
    hint: `Install ${program}, or load aufs where there is one: modprobe aufs. The layers are complete as they are`,
    cause,
  })
}

/** @param said what the program printed: some of it is about options that it does not need */
function explain(mount: AufsMount, said: ByteString): ImgtoolError {
  const lines = said.split('\n').filter((line) => line !== '' && !line.startsWith('unknown argument ignored'))
  const message = `Cannot ${describe(mount)} with ${program}: ${lines.map(printable).join('; ')}`
  if (!/permission denied|operation not permitted/i.test(said)) return new ImgtoolError('SYSTEM_ERROR', message)
  return new ImgtoolError('PERMISSION_DENIED', message, {hint: 'Run it as root, or get access to /dev/fuse'})
}
