/** An extracted archive: an OCI layout directory, or a docker save that was unpacked. */
import {constants, type Dirent} from 'node:fs'
import {type FileHandle, lstat, open, readdir, readlink} from 'node:fs/promises'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {type ByteString, fromText, printable} from '../text.ts'
import type {Blob, Member} from './archive.ts'
import {rangeBlob} from './file-range.ts'
import {addMember} from './names.ts'
import {explainSystemError} from './system-error.ts'

/** Deepest level a saved image has: `blobs/sha256/<hex>`; a directory that is no image must not be walked to its ends. */
const maximumDepth = 3

/** What every form of a saved image has one of at its top. */
const topOfImage = /^(?:index\.json|manifest\.json|oci-layout|repositories|[0-9a-f]{64})$/

/**
 * Indexes a directory. Links are recorded, never followed: they are resolved among the members like those of a tar.
 *
 * @returns members in alphabetical order, to be the same on every file system. Of what cannot be an image all that can be read:
 *   it is only to be said what it is, and in `/` files of processes go while they are looked at
 */
export async function indexDirectory(root: string, limits: Limits): Promise<Map<ByteString, Member>> {
  const members = new Map<ByteString, Member>()
  const top = await list(root, '')
  const mustRead = top.some(({name}) => topOfImage.test(name))
  const read = async <Result>(path: ByteString, reading: Promise<Result>): Promise<Result | undefined> => {
    try {
      return await reading
    } catch (error) {
      if (mustRead) throw explainSystemError(error, printable(fromText(`${root}/`) + path), {entry: path})
      return undefined
    }
  }
  const open: ByteString[] = ['']
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    const entries = directory === '' ? top : ((await read(directory, list(root, directory))) ?? [])
    for (const entry of entries) {
      checkLimit(limits, 'members', members.size + 1, 'files in the directory')
      const path = directory === '' ? entry.name : `${directory}/${entry.name}`
      const member = await read(path, toMember(root, path, entry))
      if (member !== undefined) addMember(members, member)
      if (entry.isDirectory() && path.split('/').length < maximumDepth) open.push(path)
    }
  }
  return members
}

async function list(root: string, directory: ByteString): Promise<Dirent[]> {
  const entries = await readdir(at(root, directory), {encoding: 'latin1', withFileTypes: true})
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The path of a member, whose bytes need not be UTF-8. */
function at(root: string, path: ByteString): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')])
}

async function toMember(root: string, name: ByteString, entry: Dirent): Promise<Omit<Member, 'repeated'>> {
  if (entry.isFile()) return {name, kind: 'file', blob: await fileBlob(at(root, name), name)}
  if (entry.isDirectory()) return {name, kind: 'directory'}
  if (entry.isSymbolicLink()) return {name, kind: 'link', target: await readlink(at(root, name), 'latin1')}
  return {name, kind: 'other'}
}

async function fileBlob(path: Buffer, name: ByteString): Promise<Blob> {
  const {size} = await lstat(path)
  return rangeBlob({name, offset: 0, size, open: () => openRegular(path, name), close: (handle) => handle.close()})
}

/** Opens a file that was regular when it was listed; without O_NONBLOCK a fifo put in its place would hang the run. */
async function openRegular(path: Buffer, name: ByteString): Promise<FileHandle> {
  const handle = await openFile(path, name)
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw new ImgtoolError('ARCHIVE_INVALID', `Cannot read "${printable(name)}": it is not a regular file`, {entry: name})
}

async function openFile(path: Buffer, name: ByteString): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    throw explainSystemError(error, printable(name), {entry: name})
  }
}
