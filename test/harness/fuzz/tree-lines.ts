/** An unpacked tree as lines, one a path: as much as a list of files has, and all that a file system has beside that. */
import {createHash} from 'node:crypto'
import {type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync} from 'node:fs'
import type {ListedFile} from '../../../src/list-files.ts'
import {readXattrs} from '../../helpers/xattrs.ts'

/** By path, bytes; the root's is empty. */
export type Lines = ReadonlyMap<string, string>

/** Times that an ext4 can have, seconds; others become the nearest of these. @see linux fs/ext4/ext4.h, "i_extra" */
const earliest = -(2 ** 31)
const latest = 2 ** 34 - 2 ** 31 - 1
/** Files of at most this size are read, holes included. */
const readable = 16 * 1024 * 1024

const endOfString = Buffer.alloc(1)

/** What a tree is on disk. @returns also what no list has: contents and extended attributes */
export function linesOfTree(root: string): {readonly listed: Lines; readonly full: Lines} {
  const listed = new Map<string, string>()
  const full = new Map<string, string>()
  const left = ['']
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const at = Buffer.from(path === '' ? root : `${root}/${path}`, 'latin1')
    const stats = lstatSync(at, {bigint: true})
    const line = lineOf(factsOf(stats, stats.isSymbolicLink() ? readlinkSync(at, 'latin1') : ''), path)
    const content =
      stats.isFile() && stats.size <= readable ? createHash('sha1').update(readFileSync(at)).digest('hex') : ''
    listed.set(path, line)
    full.set(path, `${line} ${content} ${JSON.stringify(readXattrs(Buffer.concat([at, endOfString])))}`)
    if (!stats.isDirectory()) continue
    for (const name of readdirSync(at, 'latin1')) left.push(path === '' ? name : `${path}/${name}`)
  }
  return {listed, full}
}

/** What a list says the tree is. */
export function linesOfList(files: readonly ListedFile[]): Lines {
  return new Map(files.map((file) => [file.path, lineOf({...file, mtime: timeOf(file)}, file.path)]))
}

interface Facts extends Pick<ListedFile, 'kind' | 'mode' | 'uid' | 'gid' | 'size' | 'links'> {
  readonly mtime: string
  readonly link?: string
  readonly device?: {readonly major: number; readonly minor: number}
}

function factsOf(stats: BigIntStats, link: string): Facts {
  const kind = kindOf(stats)
  const isDevice = kind === 'character' || kind === 'block'
  const seconds = stats.mtimeNs / 1_000_000_000n - (stats.mtimeNs % 1_000_000_000n < 0n ? 1n : 0n)
  return {
    kind,
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: kind === 'file' ? Number(stats.size) : 0,
    mtime: `${seconds}.${stats.mtimeNs - seconds * 1_000_000_000n}`,
    links: Number(stats.nlink),
    link,
    ...(isDevice && {device: splitDevice(stats.rdev)}),
  }
}

function kindOf(stats: BigIntStats): ListedFile['kind'] {
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  if (stats.isCharacterDevice()) return 'character'
  if (stats.isBlockDevice()) return 'block'
  return stats.isFIFO() ? 'fifo' : 'file'
}

/** @see makedev(3) */
function splitDevice(device: bigint): {major: number; minor: number} {
  return {major: Number((device >> 8n) & 0xfffn), minor: Number((device & 0xffn) | ((device >> 12n) & 0xfff00n))}
}

function timeOf({mtime: {seconds, nanoseconds}}: ListedFile): string {
  const isKept = seconds >= earliest && seconds <= latest
  return isKept ? `${seconds}.${nanoseconds}` : `${Math.min(Math.max(seconds, earliest), latest)}.0`
}

function lineOf({kind, mode, uid, gid, size, mtime, links, link, device}: Facts, path: string): string {
  const shown: unknown[] = [kind, uid, gid]
  if (kind !== 'symlink') shown.push(mode.toString(8))
  if (kind !== 'directory') shown.push(`${links} links`)
  if (kind === 'file') shown.push(`${size} bytes`)
  if (kind === 'symlink') shown.push(`-> ${JSON.stringify(link)}`)
  if (device !== undefined) shown.push(`device ${device.major}:${device.minor}`)
  // A directory that no entry describes may have any time; it has this mode, as the root has.
  if (path !== '' && !(kind === 'directory' && mode === 0o755)) shown.push(`from ${mtime}`)
  return shown.join(' ')
}

/** Where lines differ, some of it. */
export function differences(left: Lines, right: Lines): string[] {
  const paths = [...new Set([...left.keys(), ...right.keys()])]
  const differing = paths.filter((path) => left.get(path) !== right.get(path))
  return differing.slice(0, 3).map((path) => `${JSON.stringify(path)}: ${left.get(path)} is not ${right.get(path)}`)
}
