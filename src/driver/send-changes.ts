/** Hands on what the directory of a layer says, with the contents of its files and without their holes. */
import {fstatSync} from 'node:fs'
import {ImgtoolError} from '../errors.ts'
import type {ChangeSink} from '../layer/change.ts'
import {splitPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import * as os from '../os/libc.ts'
import {printable} from '../text.ts'
import type {ConfinedRoot} from './confined-root.ts'
import type {LayerChange} from './layer-walk.ts'
import {piecesOf} from './pieces.ts'

/** Bytes that are read of a file at a time. */
const chunkSize = 256 * 1024

/**
 * Sends changes to a sink, and stops after each, and within large files, for what the sink has made to be taken.
 *
 * @param root the directory that the changes were read of
 * @throws {ImgtoolError} SYSTEM_ERROR where a file changes meanwhile, PERMISSION_DENIED; what the sink throws
 */
export function* sendChanges(root: ConfinedRoot, changes: Iterable<LayerChange>, sink: ChangeSink): Generator<void> {
  const room = Buffer.allocUnsafe(chunkSize)
  for (const change of changes) {
    if (change.kind !== 'add') sink[change.kind](change.path)
    else if (change.entry.kind === 'file') yield* sendFile(root, change.entry, sink, room)
    else {
      sink.add(change.entry)
      sink.end()
    }
    yield
  }
}

function* sendFile(root: ConfinedRoot, entry: Entry, sink: ChangeSink, room: Buffer): Generator<void> {
  const file = openFile(root, entry)
  try {
    const pieces = [...piecesOf(file, entry.size, entry.path)]
    const isSparse = pieces.length !== 1 || pieces[0]!.length !== entry.size
    sink.add(isSparse && entry.size > 0 ? {...entry, pieces} : entry)
    for (const {offset, length} of pieces) {
      for (let at = offset; at < offset + length; ) {
        const part = room.subarray(0, offset + length - at)
        const count = os.check(os.read(file, part, at), 'read', entry.path)
        if (count === 0) throw changed(entry)
        sink.data(part.subarray(0, count), at)
        yield
        at += count
      }
    }
    sink.end()
  } finally {
    os.close(file)
  }
}

/** Without O_NONBLOCK a fifo that has taken the place of the file would hang the run. */
function openFile(root: ConfinedRoot, entry: Entry): number {
  const {directory, name} = splitPath(entry.path)
  const place = root.findDirectly(directory)
  if (place === undefined) throw changed(entry)
  const file = os.openAt(place.descriptor, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
  const stats = fstatSync(os.check(file, 'open', entry.path))
  if (stats.isFile() && stats.size === entry.size) return file
  os.close(file)
  throw changed(entry)
}

function changed({path}: Entry): ImgtoolError {
  return new ImgtoolError('SYSTEM_ERROR', `Cannot read "${printable(path)}" of the layer: it changed meanwhile`)
}
