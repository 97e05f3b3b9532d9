/** Says what an input is that is not a tar, in words that help. */
import {type Compression, detectCompression} from '../compression/detect.ts'

export interface Verdict {
  /** Completes the sentence "it …". */
  readonly looksLike: string
  readonly hint?: string
}

/** Magic bytes at offset 0 and what they belong to. */
const magics: readonly (readonly [magic: string, name: string])[] = [
  ['PK\x03\x04', 'a zip file'],
  ['PK\x05\x06', 'a zip file'],
  ['070701', 'a cpio archive'],
  ['070707', 'a cpio archive'],
  ['\x7fELF', 'a program'],
  ['hsqs', 'a squashfs file system'],
  ['!<arch>\n', 'an ar archive or Debian package'],
  ['QFI\xfb', 'a qcow2 disk image'],
  ['SQLite format 3', 'a database'],
  ['{', 'a JSON document'],
  ['[', 'a JSON document'],
  ['SIMG', 'a Singularity image'],
]

/**
 * What is wrong with the head of an uncompressed input, if it is not a tar.
 *
 * @param head first 512 bytes, fewer only where the input is shorter
 * @param outer the compression that was around it
 * @returns undefined when it may be a tar
 * @see POSIX pax, ustar header: magic at 257; a tar from before POSIX has none, only a checksum
 */
export function describe(head: Buffer, outer: Compression): Verdict | undefined {
  const inside = outer === 'none' ? '' : ` inside ${outer}`
  if (head.length === 0) return {looksLike: `is empty${inside}`}
  const inner = detectCompression(head)
  if (inner !== 'none') {
    return {
      looksLike: `is ${inner} inside ${outer}`,
      hint: `Decompress the outer ${outer} first and pipe the result to imgtool with -`,
    }
  }
  if (head.every((byte) => byte === 0)) return {looksLike: `is empty${inside}: it begins with the end of a tar`}
  if (head.subarray(257, 262).toString('latin1') === 'ustar') return undefined
  const text = head.toString('latin1')
  const known = magics.find(([magic]) => text.startsWith(magic))
  if (known !== undefined) return {looksLike: `looks like ${known[1]}${inside}, not like a saved image`}
  if (hasChecksum(head)) return undefined
  return {
    looksLike: `is not a tar${inside}`,
    hint: 'Saved images are tar files (docker save, oci-archive) or OCI layout directories',
  }
}

/** Whether bytes 148 to 155 hold a number, as the checksum of every tar header does. */
function hasChecksum(head: Buffer): boolean {
  return head.length === 512 && /^ {0,6}[0-7]{1,7}[\0 ]/.test(head.toString('latin1', 148, 156))
}
