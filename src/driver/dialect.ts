/**
 * How a deletion is spelled in the directory of a layer that lies on others. Nobody else knows: an applier says what is
 * hidden, and whoever reads a layer asks what a name means.
 */
import {ImgtoolError} from '../errors.ts'
import {isReserved, notPlain} from '../layer/change.ts'
import type {Entry} from '../layer/tar/entry.ts'
import * as os from '../os/libc.ts'
import {metaPrefix, opaqueMark, whiteoutPrefix} from '../tar/whiteout-names.ts'
import {type ByteString, printable} from '../text.ts'

/** What a directory of one layer has under a name. */
export interface Finding {
  /** Undefined where it has nothing that a union shows. */
  readonly status: os.Status | undefined
  /** Whether it hides the name of the layers below, whether it has the name itself or not. */
  readonly hides: boolean
}

/** Reads what is spelled. Works on directories by their descriptors, O_PATH or not; every name is one component. */
export interface DialectReader {
  look(directory: number, name: ByteString): Finding
  /** Whether a directory hides all that lower layers have in it. */
  hidesAll(directory: number): boolean
  /** Names of a directory without those that only mean something: what a union shows of this layer. */
  visible(directory: number, names: readonly ByteString[]): ByteString[]
  /** Names that a directory of this layer hides of the layers below, in the order of the names, which are sorted. */
  hidden(directory: number, names: readonly ByteString[]): ByteString[]
}

/** Spells it, too. */
export interface Dialect extends DialectReader {
  readonly name: 'overlay' | 'overlay-user' | 'aufs'
  /** Hides what lower layers have under a name. Nothing of this layer has the name. @throws {ImgtoolError} */
  hide(directory: number, name: ByteString): void
  /** Hides all that lower layers have in a directory. @throws {ImgtoolError} */
  hideAll(directory: number): void
  /** @throws {ImgtoolError} WHITEOUT_INVALID for what would be a deletion, although it is a file of the image */
  check(entry: Entry): void
}

/**
 * The kernel's overlay file system: a device 0:0 hides its name, an attribute of a directory all below.
 *
 * @param namespace of the attribute: `user` is for mounts in a user namespace, with the option `userxattr`
 * @param known namespaces whose attributes are read
 * @see linux Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"
 */
export function overlayDialect(namespace: Namespace, known: readonly Namespace[] = [namespace]): Dialect {
  const opaque = `${namespace}.overlay.opaque`
  const whiteout = `${namespace}.overlay.whiteout`
  const isWhiteout = (directory: number, name: ByteString, status: os.Status) => {
    if (isZeroDevice(status)) return true
    if ((status.mode & os.S_IFMT) !== os.S_IFREG || status.size !== 0) return false
    return known.some((each) => typeof os.getXattrAt(directory, name, `${each}.overlay.whiteout`) === 'string')
  }
  const look = (directory: number, name: ByteString): Finding => {
    const status = os.statusAt(directory, name)
    if (typeof status === 'number') return nothing
    return isWhiteout(directory, name, status) ? deletion : {status, hides: false}
  }
  return {
    name: namespace === 'user' ? 'overlay-user' : 'overlay',
    hide(directory, name) {
      const failed = os.makeNodeAt(directory, name, os.S_IFCHR, 0, 0)
      // Before Linux 5.8 a user namespace could not; what stands in for it is known since 6.7.
      if (failed === os.EPERM && namespace === 'user') hideByXattr(directory, name, {opaque, whiteout})
      else os.check(failed, 'hide', name)
    },
    hideAll: (directory) => void os.check(os.setXattr(directory, opaque, 'y'), 'hide what is below a directory'),
    look,
    hidesAll(directory) {
      // Most directories have no attribute at all.
      const names = os.listXattrs(directory)
      if (typeof names !== 'number' && names.length === 0) return false
      return known.some((each) => os.getXattr(directory, `${each}.overlay.opaque`) === 'y')
    },
    visible: (directory, names) => names.filter((name) => !look(directory, name).hides),
    hidden: (directory, names) => names.filter((name) => look(directory, name).hides),
    check: (entry) => requireNoZeroDevice(entry, 'overlay'),
  }
}

type Namespace = 'trusted' | 'user'

const nothing: Finding = {status: undefined, hides: false}
const deletion: Finding = {status: undefined, hides: true}

/** Directories of overlay that somebody else has made, mounted this way or that. */
export const anyOverlay: DialectReader = overlayDialect('trusted', ['trusted', 'user'])

/** A whole tree: nothing in it means anything else. */
export const wholeTree: DialectReader = {
  look: (directory, name) => ({status: statusOf(directory, name), hides: false}),
  hidesAll: () => false,
  visible: (_, names) => [...names],
  hidden: () => [],
}

/** @param reader who takes it for a deletion. @throws {ImgtoolError} WHITEOUT_INVALID */
function requireNoZeroDevice({kind, deviceMajor, deviceMinor, path}: Entry, reader: string): void {
  if (kind !== 'character' || deviceMajor !== 0 || deviceMinor !== 0) return
  const message = `The device "${printable(path)}" has the number 0:0, which is a deletion to ${reader}`
  throw new ImgtoolError('WHITEOUT_INVALID', message, {entry: path})
}

function isZeroDevice({mode, major, minor}: os.Status): boolean {
  return (mode & os.S_IFMT) === os.S_IFCHR && major === 0 && minor === 0
}

/** An empty file with an attribute, in a directory that is marked as having such. */
function hideByXattr(directory: number, name: ByteString, attributes: {opaque: string; whiteout: string}): void {
  const flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
  os.close(os.check(os.openAt(directory, name, flags, 0o600), 'hide', name))
  os.check(os.setXattrAt(directory, name, attributes.whiteout, ''), 'hide', name)
  if (os.getXattr(directory, attributes.opaque) === 'y') return
  os.check(os.setXattr(directory, attributes.opaque, 'x'), 'hide', name)
}

/**
 * aufs: an empty file `.wh.NAME` hides its name, one of a name of its own all of its directory. It is how deletions stand in
 * the tars of layers, too.
 *
 * @see aufs(5), "Whiteout"
 */
export const aufsDialect: Dialect = {
  name: 'aufs',
  hide: (directory, name) => makeMark(directory, whiteoutPrefix + name),
  hideAll: (directory) => makeMark(directory, opaqueMark),
  look: (directory, name) => ({
    status: name.startsWith(whiteoutPrefix) ? undefined : statusOf(directory, name),
    hides: statusOf(directory, whiteoutPrefix + name) !== undefined,
  }),
  hidesAll: (directory) => statusOf(directory, opaqueMark) !== undefined,
  visible: (_, names) => names.filter((name) => !name.startsWith(whiteoutPrefix)),
  hidden: (_, names) =>
    names
      .filter((name) => name.startsWith(whiteoutPrefix) && !name.startsWith(metaPrefix))
      .map((name) => name.slice(whiteoutPrefix.length)),
  check(entry) {
    if (isReserved(entry.path)) throw notPlain(entry.path)
    // aufs itself would take it, but not the program that stands in for it.
    requireNoZeroDevice(entry, 'fuse-overlayfs')
  },
}

/** A layer of aufs that fuse-overlayfs may have written to: its deletions are devices 0:0, as those of overlay. */
export const anyAufs: DialectReader = {
  look(directory, name) {
    const {status, hides} = aufsDialect.look(directory, name)
    return status !== undefined && isZeroDevice(status) ? deletion : {status, hides}
  },
  hidesAll: aufsDialect.hidesAll,
  visible: (directory, names) => aufsDialect.visible(directory, names).filter((name) => !isDeletion(directory, name)),
  hidden(directory, names) {
    const devices = aufsDialect.visible(directory, names).filter((name) => isDeletion(directory, name))
    return [...new Set([...aufsDialect.hidden(directory, names), ...devices])].toSorted()
  },
}

function isDeletion(directory: number, name: ByteString): boolean {
  const status = statusOf(directory, name)
  return status !== undefined && isZeroDevice(status)
}

/** @see aufs(5): it makes them itself with mode 0444 */
function makeMark(directory: number, mark: ByteString): void {
  const flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
  os.close(os.check(os.openAt(directory, mark, flags, 0o444), 'hide', mark))
}

function statusOf(directory: number, name: ByteString): os.Status | undefined {
  const status = os.statusAt(directory, name)
  return typeof status === 'number' ? undefined : status
}
