/** Everything about an unpacked tree that two of them can agree on, read with no tool that a fresh machine may lack. */
import fs, {type BigIntStats} from 'node:fs'
import {readXattrs} from './xattrs.ts'

/** One line a path, with the root as an empty one: no inode numbers, and no times that nobody can set. */
export function describeTree(root: string): string[] {
  const inodes = new Map<bigint, string>()
  return listTree(root).map((name) => {
    const full = Buffer.from(`${root}/${name}`, 'latin1')
    const stats = fs.lstatSync(full, {bigint: true})
    const {mode, uid, gid, nlink, rdev, mtimeNs, ino} = stats
    if (!inodes.has(ino)) inodes.set(ino, name)
    // Links of directories count what is inside, which has lines of its own; not every file system counts them.
    const links = stats.isDirectory() ? '' : `${nlink} of ${inodes.get(ino)}`
    const xattrs = JSON.stringify(readXattrs(Buffer.concat([full, Buffer.alloc(1)])))
    return [name, mode.toString(8), uid, gid, links, rdev, mtimeNs, contentOf(full, stats), xattrs].join(' ')
  })
}

/** Paths below a root as bytes, sorted. Not the recursive listing of Node: that one follows symlinks. */
function listTree(root: string, at = ''): string[] {
  const names = fs.readdirSync(Buffer.from(`${root}/${at}`, 'latin1'), {encoding: 'buffer', withFileTypes: true})
  const below = names
    .map((entry) => ({name: entry.name.toString('latin1'), isDirectory: entry.isDirectory()}))
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap(({name, isDirectory}) => (isDirectory ? listTree(root, `${at}${name}/`) : [`${at}${name}`]))
  return [at, ...below]
}

function contentOf(full: Buffer, stats: BigIntStats): string {
  if (stats.isSymbolicLink()) return fs.readlinkSync(full, 'latin1')
  return stats.isFile() ? `${stats.size} ${fs.readFileSync(full, 'latin1').slice(-20)}` : ''
}
