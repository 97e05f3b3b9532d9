/** An extracted archive: an OCI layout directory, or a docker save that was unpacked. */
import {constants, type Dirent} from 'node:fs'
import {type FileHandle, lstat, open, readdir, readlink} from 'node:fs/promises'
import {join} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {type ByteString, fromText, printable} from '../text.ts'
import type {Blob, Member} from './archive.ts'
import {rangeBlob} from './file-range.ts'
import {addMember} from './names.ts'

/** Deepest level a saved image has: `blobs/sha256/<hex>`; a directory that is no image must not be walked to its ends. */
const maximumDepth = 3

/**
 * Indexes a directory. Links are recorded, never followed: they are resolved among the members like those of a tar.
 *
 * @returns members in alphabetical order, to be the same on every file system
 */
export async function indexDirectory(root: string, limits: Limits): Promise<Map<ByteString, Member>> {
  const members = new Map<ByteString, Member>()
  const open: string[] = ['']
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    const entries = await readdir(join(root, directory), {withFileTypes: true})
    entries.sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      checkLimit(limits, 'members', members.size + 1, 'files in the directory')
      const path = directory === '' ? entry.name : `${directory}/${entry.name}`
      addMember(members, await toMember(root, path, entry))
      if (entry.isDirectory() && path.split('/').length < maximumDepth) open.push(path)
    }
  }
  return members
}

async function toMember(root: string, path: string, entry: Dirent): Promise<Omit<Member, 'repeated'>> {
  const name = fromText(path)
  if (entry.isFile()) return {name, kind: 'file', blob: await fileBlob(join(root, path), name)}
  if (entry.isDirectory()) return {name, kind: 'directory'}
  if (entry.isSymbolicLink()) return {name, kind: 'link', target: fromText(await readlink(join(root, path)))}
  return {name, kind: 'other'}
}

async function fileBlob(path: string, name: ByteString): Promise<Blob> {
  const {size} = await lstat(path)
  return rangeBlob({name, offset: 0, size, open: () => openRegular(path, name), close: (handle) => handle.close()})
}

/** Opens a file that was regular when it was listed; without O_NONBLOCK a fifo put in its place would hang the run. */
async function openRegular(path: string, name: ByteString): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw new ImgtoolError('ARCHIVE_INVALID', `Cannot read "${printable(name)}": it is not a regular file`, {entry: name})
}
