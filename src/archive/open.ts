/** Opens what the user named: a tar, a compressed tar, a directory, or standard input. */
import {type FileHandle, open, stat} from 'node:fs/promises'
import {decompress} from '../compression/decompress.ts'
import {type Compression, detectCompression} from '../compression/detect.ts'
import {ImgtoolError} from '../errors.ts'
import type {Limits} from '../limits.ts'
import type {ByteString} from '../text.ts'
import {printableText} from '../text.ts'
import type {Archive, Member} from './archive.ts'
import {indexDirectory} from './directory.ts'
import {rangeBlob} from './file-range.ts'
import {headSize, withHead} from './head.ts'
import {describe} from './looks-like.ts'
import {findBlob} from './names.ts'
import {spool} from './spool.ts'
import {explainSystemError} from './system-error.ts'
import {indexTar} from './tar-index.ts'

/** What messages call an archive that comes by a pipe. */
export const standardInput = 'standard input'

/**
 * Opens an archive and indexes its members; contents stay where they are.
 *
 * @param path of a file or directory, or `-` for standard input, which is spooled to a temporary file without a name,
 *   as a compressed archive is
 * @returns the archive; who calls closes it
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, FORMAT_UNKNOWN with what the input looks like, ARCHIVE_INVALID,
 *   ARCHIVE_TRUNCATED, COMPRESSION_INVALID, COMPRESSION_UNSUPPORTED, NO_SPACE, PERMISSION_DENIED, SYSTEM_ERROR, LIMIT_EXCEEDED
 */
export async function openArchive(path: string, limits: Limits): Promise<Archive> {
  const label = path === '-' ? standardInput : path
  try {
    if (path === '-') return await openStream(process.stdin, label, limits)
    const stats = await stat(path)
    if (stats.isDirectory()) return directoryArchive(label, await indexDirectory(path, limits))
    return await openFile(path, label, stats.isFile(), limits)
  } catch (error) {
    if (error instanceof ImgtoolError) throw error.within({archive: label})
    throw explainSystemError(error, printableText(label), {archive: label})
  }
}

async function openFile(path: string, label: string, regular: boolean, limits: Limits): Promise<Archive> {
  const handle = await open(path, 'r')
  if (!regular) {
    // A pipe or a process substitution, `<(gunzip …)`, can be read once only.
    const stream = handle.createReadStream()
    try {
      return await openStream(stream, label, limits)
    } finally {
      stream.destroy()
    }
  }
  const {size} = await handle.stat()
  return openHandle(handle, size, label, limits)
}

async function openStream(stream: AsyncIterable<Buffer>, label: string, limits: Limits): Promise<Archive> {
  const check = (head: Buffer) => {
    const compression = detectCompression(head)
    if (compression === 'none') requireTar(head, compression)
  }
  const {handle, size} = await spool(withHead(stream, check), limits)
  return openHandle(handle, size, label, limits)
}

/** Takes the handle over: it is closed with the archive, or at once when this fails. */
async function openHandle(handle: FileHandle, size: number, label: string, limits: Limits): Promise<Archive> {
  let tar = {handle, size}
  try {
    const compression = detectCompression(await readHead(handle, size))
    if (compression !== 'none') {
      tar = await decompressWhole(handle, size, label, compression, limits)
      await handle.close()
    }
    return await tarArchive(tar.handle, tar.size, label, compression, limits)
  } catch (error) {
    await tar.handle.close()
    throw error
  }
}

async function decompressWhole(
  handle: FileHandle,
  size: number,
  label: string,
  compression: Compression,
  limits: Limits,
): Promise<{handle: FileHandle; size: number}> {
  try {
    const whole = rangeBlob({name: label, offset: 0, size, open: async () => handle, close: async () => {}})
    const content = withHead(decompress(whole.stream(), compression), (head) => requireTar(head, compression))
    return await spool(content, limits)
  } catch (error) {
    if (!(error instanceof ImgtoolError) || error.code !== 'COMPRESSION_UNSUPPORTED') throw error
    const input = label === standardInput ? '' : ` '${label.replaceAll("'", "'\\''")}'`
    const program = compression === 'zstd' ? 'zstd --long=31' : compression
    const hint = `Decompress it first: ${program} -dc${input}`
    throw new ImgtoolError(error.code, error.message, {...error.details, hint})
  }
}

async function tarArchive(
  handle: FileHandle,
  size: number,
  label: string,
  compression: Compression,
  limits: Limits,
): Promise<Archive> {
  requireTar(await readHead(handle, size), compression)
  const range = {open: async () => handle, close: async () => {}}
  const members = await indexTar(handle, size, limits, (name, offset, length) =>
    rangeBlob({name, offset, size: length, ...range}),
  )
  return archiveOf(label, 'tar', members, () => handle.close(), compression)
}

/** @param outer the compression that was around the head */
function requireTar(head: Buffer, outer: Compression): void {
  const problem = describe(head, outer)
  if (problem === undefined) return
  const hint = problem.hint === undefined ? {} : {hint: problem.hint}
  throw new ImgtoolError('FORMAT_UNKNOWN', `Cannot read the archive: it ${problem.looksLike}`, hint)
}

function directoryArchive(label: string, members: ReadonlyMap<ByteString, Member>): Archive {
  return archiveOf(label, 'directory', members, async () => {}, 'none')
}

function archiveOf(
  label: string,
  kind: 'tar' | 'directory',
  members: ReadonlyMap<ByteString, Member>,
  close: () => Promise<void>,
  compression: Compression,
): Archive {
  return {
    label,
    kind,
    ...(compression === 'none' ? {} : {compression}),
    members,
    blob: (name) => findBlob(members, name),
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function readHead(handle: FileHandle, size: number): Promise<Buffer> {
  const head = Buffer.alloc(Math.min(headSize, size))
  await handle.read(head, 0, head.length, 0)
  return head
}
