/** What is mounted where, mount points, and how something is unmounted. */
import {lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync} from 'node:fs'
import {basename, dirname, join} from 'node:path'
import process from 'node:process'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import * as mounting from '../os/mount.ts'
import {type ByteString, fromText, printable, printableText} from '../text.ts'
import {isPlaceID} from './place-id.ts'

export interface Mount {
  /** The absolute path of the mount point, with no symlink in it. */
  readonly point: ByteString
  readonly type: string
  readonly source: ByteString
  /** Numbers of the file system, which all of its mounts have. */
  readonly device: string
  /** What of the file system is mounted, as a path in it. */
  readonly root: ByteString
  /** What the file system says of itself, such as the layers of an overlay. */
  readonly options: ByteString
}

/**
 * Reads a list of mounts, oldest first; of several at one place the last is on top.
 *
 * @see proc(5), /proc/[pid]/mountinfo: blanks and the like are octal escapes, the number of fields before "-" varies
 */
export function parseMounts(mountinfo: ByteString): Mount[] {
  const lines = mountinfo.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const fields = line.split(' ')
    const [type = '', source = '', options = ''] = fields.slice(fields.indexOf('-', 6) + 1)
    const [, , device = '', root = '', point = ''] = fields
    return {
      point: unescapeOctal(point),
      type,
      source: unescapeOctal(source),
      device,
      root: unescapeOctal(root),
      options: unescapeOctal(options),
    }
  })
}

function unescapeOctal(field: ByteString): ByteString {
  return field.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}

/** All mounts, oldest first. */
export function listAllMounts(): Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'latin1'))
}

/**
 * Where a place is shown: the last mount of what is mounted at or of a directory with one of these names in its path; undefined
 * where there is none.
 *
 * @param names of places; what is no name of one is in no path
 */
export function findMountOfPlace(names: readonly string[]): Mount | undefined {
  const mounts = listAllMounts()
  const found = mounts.find(({point, root}) => isInPlace(point, names) || isInPlace(root, names))
  return found && mounts.findLast((mount) => showsSame(mount, found))
}

/** Whether a place is mounted, and that is shown nowhere but in the driver's own directory. */
export function isForgotten(names: readonly string[]): boolean {
  const mount = findMountOfPlace(names)
  return mount !== undefined && isInPlace(mount.point, names)
}

/** Whether two mounts show the same directory. */
export function showsSame(one: Mount, other: Mount): boolean {
  return one.device === other.device && one.root === other.root
}

function isInPlace(path: ByteString, names: readonly string[]): boolean {
  return path.split('/').some((name) => isPlaceID(name) && names.includes(name))
}

/** What was mounted last at a directory; undefined where nothing is. The directory's parent exists. */
export function findMount(directory: string): Mount | undefined {
  const place = fromText(realPlace(directory))
  return listMounts(directory).findLast(({point}) => point === place)
}

/** Mounts at a directory and below it, oldest first. The directory's parent exists. */
export function listMounts(directory: string): Mount[] {
  const top = fromText(realPlace(directory))
  const below = top === '/' ? top : `${top}/`
  return listAllMounts().filter(({point}) => point === top || point.startsWith(below))
}

export function isMounted(path: string): boolean {
  return findMount(path) !== undefined
}

/** Nothing is asked of the place itself: it would not answer when what serves it has died. */
function realPlace(path: string): string {
  return join(realpathSync(dirname(path)), basename(path))
}

/** Where a mount point is that the user named by a symlink, which mount(8) follows. */
export function followMountPoint(path: string): string {
  try {
    return lstatSync(path).isSymbolicLink() ? realpathSync(path) : path
  } catch {
    return path
  }
}

/** An empty directory that something can be mounted on. */
export interface MountPoint extends Disposable {
  /** O_PATH. */
  readonly descriptor: number
}

/**
 * Opens a directory for mounting on it. What is in a directory cannot be seen while something is mounted there, so it must be
 * empty.
 *
 * @throws {ImgtoolError} TARGET_INVALID, TARGET_EXISTS, PERMISSION_DENIED
 */
export function openMountPoint(path: string): MountPoint {
  const refuse = (code: 'TARGET_INVALID' | 'TARGET_EXISTS', why: string, hint: string) =>
    new ImgtoolError(code, `Cannot mount on "${printableText(path)}": ${why}`, {hint})
  const descriptor = os.openAt(os.AT_FDCWD, fromText(path), os.O_PLACE)
  if (descriptor === os.ENOENT)
    throw refuse('TARGET_INVALID', 'it is not there', `Make it first: mkdir -p '${printableText(path)}'`)
  if (descriptor === os.ENOTDIR) throw refuse('TARGET_INVALID', 'it is not a directory', 'Give an empty directory')
  os.check(descriptor, 'open the mount point', fromText(path))
  const close = () => os.close(descriptor)
  try {
    if (readdirSync(os.descriptorPath(descriptor)).length > 0) {
      throw refuse('TARGET_EXISTS', 'it is not empty', 'Give an empty directory')
    }
  } catch (error) {
    close()
    if (error instanceof ImgtoolError) throw error
    throw os.systemError((error as NodeJS.ErrnoException).code ?? 'EIO', `list "${printableText(path)}"`, error)
  }
  return {descriptor, [Symbol.dispose]: close}
}

/**
 * Shows a directory in another place, which is empty.
 *
 * @throws {ImgtoolError} TARGET_INVALID, TARGET_EXISTS, PERMISSION_DENIED, SYSTEM_ERROR
 */
export function mountBound(directory: string, target: string, {isWritable}: {readonly isWritable: boolean}): void {
  using place = openMountPoint(target)
  const action = `mount "${printableText(directory)}" on "${printableText(target)}"`
  requireMounting(mounting.bind(fromText(directory), os.descriptorPath(place.descriptor)), action)
  if (isWritable) return
  const result = mounting.makeReadOnly(fromText(realPlace(target)))
  if (result < 0) unmount(target)
  requireMounting(result, action)
}

function requireMounting(result: number, action: string): void {
  if (result !== os.EPERM) return void os.check(result, action)
  throw new ImgtoolError('PERMISSION_DENIED', `Cannot ${action}: EPERM, not permitted`, {
    hint: 'Run it as root, or in a user namespace of your own: unshare --user --map-root-user --mount',
  })
}

/**
 * Takes away what was mounted last at a place.
 *
 * @throws {ImgtoolError} TARGET_INVALID where nothing is mounted, PERMISSION_DENIED, SYSTEM_ERROR while it is used
 */
export function unmount(path: string): void {
  const place = realPlace(path)
  const result = mounting.unmount(fromText(place))
  if (result >= 0) return
  const action = `unmount "${printableText(path)}"`
  if (result === os.EBUSY) {
    const users = [...mountsInside(place), ...processesIn(place)]
    const by = users.length === 0 ? '' : ` by ${summarize(users)}`
    throw new ImgtoolError('SYSTEM_ERROR', `Cannot ${action}: it is used${by}`, {
      hint:
        users.length === 0 && isHeldBy('/proc/self', place) ? 'Run it elsewhere' : 'End what uses it, then try again',
    })
  }
  if (result === os.EPERM) {
    throw new ImgtoolError('PERMISSION_DENIED', `Cannot ${action}: EPERM, not permitted`, {
      hint: 'Run it as whoever mounted it: root, or in the same user namespace',
    })
  }
  if (result === os.EINVAL && !isMounted(path)) {
    throw new ImgtoolError('TARGET_INVALID', `Cannot ${action}: nothing is mounted there`)
  }
  os.check(result, action)
}

function mountsInside(place: string): string[] {
  const own = fromText(place)
  const points = listMounts(place).map(({point}) => point)
  return points.filter((point) => point !== own).map((point) => `the mount "${printable(point)}"`)
}

/** Other programs that work in a directory, or have something open there, as far as this user may see. */
function processesIn(place: string): string[] {
  const own = ownProcesses()
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && !own.includes(Number(name)))
  const users = ids.filter((id) => isHeldBy(`/proc/${id}`, place))
  return users.map((id) => `${printable(readOr(`/proc/${id}/comm`, 'process').trim())} (${id})`)
}

/** They end with the run, and nobody can end them before. */
function ownProcesses(): number[] {
  // bin/run.js starts itself again where the Node is too old.
  return process.env.IMGTOOL_REEXEC === undefined ? [process.pid] : [process.pid, process.ppid]
}

/** @see proc(5) */
function isHeldBy(directory: string, place: string): boolean {
  const links = ['cwd', 'root', 'exe', ...list(`${directory}/fd`).map((name) => `fd/${name}`)]
  return links.some((name) => {
    try {
      const path = readlinkSync(`${directory}/${name}`)
      return path === place || path.startsWith(`${place}/`)
    } catch {
      // Somebody else's, a kernel thread's, or gone.
      return false
    }
  })
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return otherwise
  }
}

/** So many fit on a line. */
const namedUsers = 3

function summarize(users: readonly string[]): string {
  const more = users.length - namedUsers
  return `${users.slice(0, namedUsers).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
