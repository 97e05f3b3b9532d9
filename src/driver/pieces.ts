/** Where files have data, and where they have holes. */
import type {SparsePiece} from '../layer/tar/sparse.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'

/**
 * The parts of a file that are no holes, ascending; all of it where its file system does not tell.
 *
 * @param path for errors
 * @throws {ImgtoolError} SYSTEM_ERROR where it cannot be found out: what is not known to be a hole must not be taken for one
 * @see lseek(2), SEEK_DATA, ENXIO
 */
export function* piecesOf(file: number, size: number, path: ByteString): Generator<SparsePiece> {
  for (let end = 0; end < size; ) {
    const found = os.seekData(file, end)
    if (found === os.ENXIO || found >= size) return
    const isTold = found !== os.EINVAL && found !== os.EOPNOTSUPP
    const offset = isTold ? os.check(found, 'find the data of', path) : end
    end = isTold ? Math.min(os.check(os.seekHole(file, offset), 'find the holes of', path), size) : size
    yield {offset, length: end - offset}
  }
}
