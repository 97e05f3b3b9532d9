/** Extended attributes of a path, read without a tool that a fresh machine may lack. */
import koffi from 'koffi'

const libc = koffi.load(null)
const llistxattr = libc.func('intptr_t llistxattr(const char *, _Out_ uint8_t *, size_t)')
const lgetxattr = libc.func('intptr_t lgetxattr(const char *, const char *, _Out_ uint8_t *, size_t)')

/** One for all paths: to clear a new one takes longer than to fill it. */
const room = Buffer.alloc(65_536)

/** Hex by name; links are not followed. @param path text, or bytes with a NUL at the end */
export function readXattrs(path: string | Buffer): Record<string, string> {
  const names = take(llistxattr(path, room, room.length))
    .toString('latin1')
    .split('\0')
    .filter(Boolean)
  return Object.fromEntries(names.map((name) => [name, take(lgetxattr(path, name, room, room.length)).toString('hex')]))
}

function take(length: number | bigint): Buffer {
  return Buffer.from(room.subarray(0, Math.max(0, Number(length))))
}
