/** Reads everything that an unpacked tree must agree on, path by path, and says where two trees differ. */
import {createHash} from 'node:crypto'
import {type BigIntStats, closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync} from 'node:fs'
import {readXattrs} from './xattrs.ts'

/** Every path of a tree as a byte string relative to its root, which is `.`. */
export type Tree = Map<string, TreeEntry>

export interface TreeEntry {
  readonly type: string
  readonly mode: string
  readonly uid: bigint
  readonly gid: bigint
  readonly mtimeNs: bigint
  /** Names and values in hexadecimal, sorted. */
  readonly xattrs: readonly string[]
  /** All paths of this tree that name the same inode, sorted; empty for an only name and for directories. */
  readonly hardLinks: readonly string[]
  readonly size?: bigint
  readonly sha256?: string
  readonly target?: string
  readonly device?: bigint
}

/**
 * Scans a directory without following any link or opening anything but regular files; a file is a tree of itself. Paths may be
 * longer than the system takes them.
 */
export function scanTree(root: string): Tree {
  const found = new Map<string, Found>()
  scanInto(found, Buffer.from(root), '.')
  const groups = groupHardLinks(found)
  const sorted = [...found].toSorted(([one], [other]) => (one < other ? -1 : 1))
  return new Map(sorted.map(([path, {entry}]) => [path, {...entry, hardLinks: groups.get(path) ?? []}]))
}

/**
 * One line for every difference, in the order of paths; empty for equal trees. The time of the root itself is left out: each tool sets its own.
 */
export function compareTrees(left: Tree, right: Tree): string[] {
  const paths = [...new Set([...left.keys(), ...right.keys()])].toSorted()
  return paths.flatMap((path) => compareEntries(path, left.get(path), right.get(path)))
}

function compareEntries(path: string, left: TreeEntry | undefined, right: TreeEntry | undefined): string[] {
  const name = JSON.stringify(path)
  if (left === undefined || right === undefined) return [`${name}: only in the ${left ? 'first' : 'second'} tree`]
  const keys = new Set([...Object.keys(left), ...Object.keys(right)] as (keyof TreeEntry)[])
  if (path === '.') keys.delete('mtimeNs')
  const differing = [...keys].filter((key) => String(left[key]) !== String(right[key]))
  return differing.map((key) => `${name}: ${key} ${String(left[key])} is not ${String(right[key])}`)
}

interface Found {
  readonly entry: Omit<TreeEntry, 'hardLinks'>
  readonly stat: BigIntStats
}

/** @param at leads to the path from here */
function scanInto(found: Map<string, Found>, at: Buffer, path: string): void {
  const stat = lstatSync(at, {bigint: true})
  found.set(path, {entry: describeEntry(at, stat), stat})
  if (!stat.isDirectory()) return
  // Each directory by a descriptor of the one above: no path from the root could be longer than 4095 bytes.
  const descriptor = openSync(at, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    const here = `/proc/self/fd/${descriptor}`
    for (const name of readdirSync(here, {encoding: 'buffer'})) {
      const below = `${path === '.' ? '' : `${path}/`}${name.toString('latin1')}`
      scanInto(found, Buffer.concat([Buffer.from(`${here}/`), name]), below)
    }
  } finally {
    closeSync(descriptor)
  }
}

/** By inodes alone: fuse-overlayfs counts only those names that were asked for already. */
function groupHardLinks(found: ReadonlyMap<string, Found>): Map<string, string[]> {
  const files = [...found].filter(([, {stat}]) => !stat.isDirectory())
  const byInode = Map.groupBy(files, ([, {stat}]) => `${stat.dev}:${stat.ino}`)
  const groups = [...byInode.values()].map((members) => members.map(([path]) => path).toSorted())
  return new Map(groups.filter((group) => group.length > 1).flatMap((group) => group.map((path) => [path, group])))
}

function describeEntry(path: Buffer, stat: BigIntStats): Omit<TreeEntry, 'hardLinks'> {
  const {uid, gid, mtimeNs, size} = stat
  const type = typeOf(stat)
  const shared = {type, mode: (stat.mode & 0o7777n).toString(8), uid, gid, mtimeNs, xattrs: listXattrs(path)}
  if (stat.isFile()) return {...shared, size, sha256: digestFile(path, size)}
  if (stat.isSymbolicLink()) return {...shared, target: readlinkSync(path, 'latin1')}
  if (stat.isCharacterDevice() || stat.isBlockDevice()) return {...shared, device: stat.rdev}
  return shared
}

function typeOf(stat: BigIntStats): string {
  const types = {
    file: stat.isFile(),
    directory: stat.isDirectory(),
    symlink: stat.isSymbolicLink(),
    character: stat.isCharacterDevice(),
    block: stat.isBlockDevice(),
    fifo: stat.isFIFO(),
  }
  return Object.entries(types).find(([, is]) => is)?.[0] ?? 'other'
}

/** One for all files: most are small, and to clear a new one takes longer than to read them. */
const chunk = Buffer.alloc(1 << 20)

/** Nobody could read what is larger, and only holes make it so. */
const largestWhole = 16n * 1024n ** 3n
/** Of a larger one. */
const samples = 256n

function digestFile(path: Buffer, size: bigint): string {
  const hash = createHash('sha256')
  const fd = openSync(path, 'r')
  try {
    if (size > largestWhole) for (const position of samplePlaces(size)) hash.update(readChunk(fd, position))
    else for (let read = readChunk(fd, null); read.length > 0; read = readChunk(fd, null)) hash.update(read)
  } finally {
    closeSync(fd)
  }
  return hash.digest('hex')
}

/** From the beginning to the end, evenly. */
function samplePlaces(size: bigint): bigint[] {
  const last = size - BigInt(chunk.length)
  return Array.from({length: Number(samples)}, (_, at) => (last * BigInt(at)) / (samples - 1n))
}

/** @param position null for where reading has come to */
function readChunk(fd: number, position: bigint | null): Buffer {
  return chunk.subarray(0, readSync(fd, chunk, {position}))
}

function listXattrs(path: Buffer): string[] {
  const xattrs = readXattrs(Buffer.concat([path, Buffer.alloc(1)]))
  return Object.entries(xattrs)
    .map(([name, value]) => `${name}=0x${value}`)
    .toSorted()
}
