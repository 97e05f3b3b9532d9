/** Reads everything that an unpacked tree must agree on, path by path, and says where two trees differ. */
import {createHash} from 'node:crypto'
import {type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync} from 'node:fs'
import {runBinary} from './run.ts'

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

/** Scans a directory without following any link or opening anything but regular files; a file is a tree of itself. */
export async function scanTree(root: string): Promise<Tree> {
  const xattrs = await readXattrs(root)
  const paths = listPaths(root).toSorted()
  const stats = new Map(paths.map((path) => [path, lstatSync(at(root, path), {bigint: true})]))
  const groups = groupHardLinks(stats)
  const describe = (path: string) => describeEntry(at(root, path), stats.get(path)!, xattrs.get(path), groups.get(path))
  return new Map(paths.map((path) => [path, describe(path)]))
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

function listPaths(root: string): string[] {
  const paths = ['.']
  const folders = lstatSync(root).isDirectory() ? [''] : []
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of readdirSync(at(root, folder), {encoding: 'buffer', withFileTypes: true})) {
      const path = folder + entry.name.toString('latin1')
      paths.push(path)
      if (entry.isDirectory()) folders.push(`${path}/`)
    }
  }
  return paths
}

function groupHardLinks(stats: ReadonlyMap<string, BigIntStats>): Map<string, string[]> {
  const several = [...stats].filter(([, stat]) => stat.nlink > 1n && !stat.isDirectory())
  const byInode = Map.groupBy(several, ([, {dev, ino}]) => `${dev}:${ino}`)
  const groups = [...byInode.values()].map((members) => members.map(([path]) => path))
  return new Map(groups.filter((group) => group.length > 1).flatMap((group) => group.map((path) => [path, group])))
}

function describeEntry(path: Buffer, stat: BigIntStats, xattrs: string[] = [], hardLinks: string[] = []): TreeEntry {
  const {uid, gid, mtimeNs, size} = stat
  const type = typeOf(stat)
  const shared = {type, mode: (stat.mode & 0o7777n).toString(8), uid, gid, mtimeNs, xattrs, hardLinks}
  if (stat.isFile()) return {...shared, size, sha256: digestFile(path)}
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

function digestFile(path: Buffer): string {
  const hash = createHash('sha256')
  const fd = openSync(path, 'r')
  try {
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk))
      hash.update(chunk.subarray(0, length))
  } finally {
    closeSync(fd)
  }
  return hash.digest('hex')
}

/** getfattr prints one block for each path that has attributes: `# file: PATH`, then `name=0x...` lines. */
async function readXattrs(root: string): Promise<Map<string, string[]>> {
  const words = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', root]
  const printed = (await runBinary('getfattr', words)).toString('latin1')
  const blocks = printed.split('\n\n').map((block) => block.split('\n').filter((line) => line !== ''))
  const named = blocks.filter((lines) => lines.length > 0)
  return new Map(named.map(([file, ...lines]) => [relativeName(root, file!.replace('# file: ', '')), lines.toSorted()]))
}

/** getfattr writes bytes it cannot print, and the backslash, as three octal digits. */
function relativeName(root: string, printed: string): string {
  const name = printed.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  return name === root ? '.' : name.slice(root.length + 1)
}

function at(root: string, path: string): Buffer {
  if (path === '.') return Buffer.from(root)
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')])
}
