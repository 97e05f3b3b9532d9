/** Names of an archive's members: cleaned once, resolved among themselves only, never joined to a path of this machine. */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import type {Archive, Blob, Member} from './archive.ts'

/** Symbolic and hard links followed from one name before the archive is refused. */
const maximumHops = 8

/** A member's name without `./`, leading slashes and the trailing slash of a directory; `..` stays as it is. */
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
  const repeated = before !== undefined && !(before.kind === 'directory' && member.kind === 'directory')
  members.set(member.name, {...member, repeated})
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
    wanted = linkTarget(member)
  }
  throw refuse(name, `it leads through more than ${maximumHops} links`)
}

function linkTarget(member: Member): ByteString {
  const target = member.target ?? ''
  if (member.hard === true) return cleanName(target)
  if (target.startsWith('/')) throw refuse(member.name, 'it is a link out of the archive')
  const parts = member.name.split('/').slice(0, -1)
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) throw refuse(member.name, 'it is a link out of the archive')
  }
  return parts.join('/')
}

function refuse(name: ByteString, why: string): ImgtoolError {
  return new ImgtoolError('ARCHIVE_INVALID', `Cannot read member "${printable(name)}": ${why}`, {entry: name})
}
