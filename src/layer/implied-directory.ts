import type {ByteString} from '../text.ts'
import type {Entry} from './tar/entry.ts'
import type {Time} from './tar/number.ts'

const noXattrs: ReadonlyMap<ByteString, ByteString> = new Map()

/**
 * What a directory is that no layer describes, but that something in it needs.
 *
 * @see umoci and moby, which agree on the mode
 */
export function impliedDirectory(path: ByteString, mtime: Time): Entry {
  const zero = {uid: 0, gid: 0, size: 0, deviceMajor: 0, deviceMinor: 0}
  return {path, kind: 'directory', mode: 0o755, mtime, link: '', xattrs: noXattrs, ...zero}
}
