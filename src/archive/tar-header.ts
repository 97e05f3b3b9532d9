/** Headers of a new outer tar: the same bytes for the same members, whoever writes them, where and when. */
import {Header} from 'tar/header'
import {encodePaxRecord, paddingOf} from '../tar/blocks.ts'
import {type ByteString, toText} from '../text.ts'

/** Longest name that a header holds without help. @see POSIX pax, ustar header: name */
const maximumName = 100

export interface MemberFacts {
  readonly name: ByteString
  readonly kind: 'file' | 'directory' | 'link'
  /** Bytes of content; files only. */
  readonly size?: number
  /** Where a link leads. */
  readonly target?: ByteString
}

const types = {file: 'File', directory: 'Directory', link: 'SymbolicLink'} as const
const modes = {file: 0o644, directory: 0o755, link: 0o777} as const

/**
 * Encodes what stands before a member's content: a header, and a PAX header before it where the name is longer than 100
 * bytes. A size of 8 GiB or more is written in base 256, which fits in one block and which every reader since 1999 knows.
 *
 * @param mtime of the member, seconds since 1970
 */
export function encodeHeader({name, kind, size = 0, target}: MemberFacts, mtime: number): Buffer {
  const path = kind === 'directory' ? `${name}/` : name
  const header = headerBlock({
    path: toText(path).slice(0, maximumName),
    type: types[kind],
    mode: modes[kind],
    size,
    mtime,
  })
  if (target !== undefined) header.linkpath = toText(target)
  header.encode()
  if (path.length <= maximumName) return header.block!
  const records = Buffer.from(encodePaxRecord('path', path), 'latin1')
  const extension = headerBlock({
    path: 'PaxHeaders/path',
    type: 'ExtendedHeader',
    mode: 0o644,
    size: records.length,
    mtime,
  })
  extension.encode()
  return Buffer.concat([extension.block!, records, Buffer.alloc(paddingOf(records.length)), header.block!])
}

function headerBlock(facts: {
  path: string
  type: 'File' | 'Directory' | 'SymbolicLink' | 'ExtendedHeader'
  mode: number
  size: number
  mtime: number
}): Header {
  return new Header({...facts, uid: 0, gid: 0, mtime: new Date(facts.mtime * 1000)})
}
