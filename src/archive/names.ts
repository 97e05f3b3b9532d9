/** Names of an archive's members: cleaned once, resolved among themselves only, never joined to a path of this machine. */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import type {Archive, Blob, Member} from './archive.ts'

/** Longest target of a symbolic link, bytes. @see Linux limits.h, PATH_MAX */
const longestTarget = 4096

/** Symbolic and hard links followed from one name before the archive is refused. */
const maximumHops = 8

/** A member's name without `./`, leading slashes and the trailing slash of a directory; `..` stays as it is, and finds nothing. */
export function cleanName(name: ByteString): ByteString {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')
}

/**
 * Adds a member to an index under construction; a name that is stored twice is marked, not lost.
 * Directories may repeat: they carry nothing.
 */
export function addMember(members: Map<ByteString, Member>, member: Omit<Member, 'repeated'>): void {
  if (member.name === '') return
  const before = members.get(member.name)
  const areDirectories = before?.kind === 'directory' && member.kind === 'directory'
  members.set(member.name, {...member, repeated: before !== undefined && (before.repeated || !areDirectories)})
}

/**
 * Refuses names under which another reader finds another member: docker and containerd extract an archive, and then a member
 * below a link is where the link leads, and `a/../b` is `b`.
 *
 * @throws {ImgtoolError} ARCHIVE_INVALID
 */
export function requireOwnPlaces(members: ReadonlyMap<ByteString, Member>): void {
  // With a slash behind every name, what lies below a name stands right behind it.
  const places = [...members.keys()].map((name) => `${name}/`).toSorted()
  for (const [at, place] of places.entries()) {
    const name = place.slice(0, -1)
    if (place.startsWith('../') || place.includes('/../')) throw refuse(name, 'its name has ".." in it')
    const below = places[at + 1]
    if (below?.startsWith(place) && !isOnlyDirectory(members.get(name)!)) {
      throw refuse(below.slice(0, -1), `it lies below "${printable(name)}", which is not just a directory`)
    }
  }
}

function isOnlyDirectory({kind, repeated}: Member): boolean {
  return kind === 'directory' && !repeated
}

/** The {@link Archive.blob} of every kind of archive. */
export function findBlob(members: ReadonlyMap<ByteString, Member>, name: ByteString): Blob | undefined {
  let wanted = cleanName(name)
  for (let hop = 0; hop <= maximumHops; hop++) {
    const member = members.get(wanted)
    if (member === undefined) {
      if (hop === 0) return undefined
      throw refuse(name, `it is a link to "${printable(wanted)}", which is not in the archive`)
    }
    if (member.repeated) throw refuse(wanted, 'the archive holds it more than once')
    if (member.blob !== undefined) return member.blob
    if (member.kind !== 'link') throw refuse(wanted, 'it is neither a file nor a link to one')
    wanted = linkTarget(members, member)
  }
  throw refuse(name, `it leads through more than ${maximumHops} links`)
}

function linkTarget(members: ReadonlyMap<ByteString, Member>, member: Member): ByteString {
  const target = member.target ?? ''
  if (member.hard === true) return cleanName(target)
  if (target.startsWith('/')) throw refuse(member.name, 'it is a link out of the archive')
  if (target.length > longestTarget) throw refuse(member.name, 'it is a link with too long a target')
  const parts = member.name.split('/').slice(0, -1)
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') {
      parts.push(part)
      continue
    }
    if (parts.length === 0) throw refuse(member.name, 'it is a link out of the archive')
    // Behind another link `..` is the directory above that one's target.
    if (members.get(parts.join('/'))?.kind === 'link') throw refuse(member.name, 'it is a link through another link')
    parts.pop()
  }
  return parts.join('/')
}

function refuse(name: ByteString, why: string): ImgtoolError {
  return new ImgtoolError('ARCHIVE_INVALID', `Cannot read member "${printable(name)}": ${why}`, {entry: name})
}
