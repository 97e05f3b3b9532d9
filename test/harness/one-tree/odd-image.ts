/** Images of what drivers have to take care of each in its own way: what lower layers have, and owners that may not exist here. */
import {join} from 'node:path'
import {writeDockerArchive} from '../../helpers/large-image.ts'
import {directory, endOfTar, file, hardlink, headerBlock, pax, symlink} from '../../helpers/tar.ts'

/** More than a user namespace has. */
const nobodyHere = 100_000
/** Revision 2: permitted and effective, one capability. @see linux include/uapi/linux/capability.h */
const capability = `\x01\0\0\x02\0\x20\0\0${'\0'.repeat(12)}`
/** @see linux include/uapi/linux/posix_acl_xattr.h: owner, user 7, group, mask and others may read, write and search */
const acl = `\x02\0\0\0${[1, 2, 4, 16, 32].map((tag) => `${String.fromCharCode(tag)}\0\x07\0${id(tag)}`).join('')}`

/** Writes the images. @returns their paths */
export function writeOddImages(folder: string): string[] {
  const images = {odd: [base(), changes(), top()], 'device-links': [base(), deviceLinks()]}
  return Object.entries(images).map(([name, layers]) => {
    const path = join(folder, `${name}.tar`)
    writeDockerArchive(path, layers)
    return path
  })
}

function* base() {
  for (const [name, uid, mode] of directories) yield directory(name, {uid, gid: uid, mode, mtime: 1_400_000_000 + uid})
  for (const [name] of directories) {
    yield file(`${name}/plain`, name, {uid: 33, gid: 33, mtime: 1_400_000_001})
    yield xattr('security.capability', capability)
    yield file(`${name}/capable`, 'capable', {uid: 5, mode: 0o755})
    yield xattr('user.note', '\0\xff')
    yield file(`${name}/locked`, 'locked', {mode: 0o400, uid: nobodyHere, gid: nobodyHere})
    yield file(`${name}/special`, 'special', {mode: 0o6755, uid: 44, gid: 45})
    yield file(`${name}/stranger`, 'stranger', {mode: 0o6755, uid: nobodyHere, gid: 7})
    yield xattr('system.posix_acl_access', acl)
    yield file(`${name}/shared`, 'shared', {mode: 0o670})
    for (const other of ['a', 'b']) yield hardlink(`${name}/capable-${other}`, `${name}/capable`)
    yield symlink(`${name}/link`, 'plain', {uid: 9, gid: 9})
    yield headerBlock({name: `${name}/fifo`, type: '6', mode: 0o620, uid: 3})
    yield headerBlock({name: `${name}/null`, type: '3', mode: 0o666, deviceMajor: 1, deviceMinor: 3})
    yield headerBlock({name: `${name}/disk`, type: '4', mode: 0o660, gid: 6, deviceMajor: 7, deviceMinor: 300})
  }
  yield symlink('way', 'private')
  yield xattr('system.posix_acl_default', acl)
  yield directory('inherits')
  yield endOfTar
}

/** Of lower layers, each is brought up: as a parent, by a link, or by another name of what is linked to. */
function* changes() {
  for (const [name] of directories) {
    for (const kind of ['capable', 'locked', 'special', 'stranger', 'shared', 'link', 'fifo'])
      yield hardlink(`${name}/new-${kind}`, `${name}/${kind}`)
    yield file(`${name}/.wh.plain`)
  }
  yield file('way/through', 'through a symlink')
  yield file('inherits/inside', 'inside')
  yield file('inherits/deep/deeper/inside', 'inside')
  yield endOfTar
}

function* top() {
  yield file('stranger/.wh.capable')
  yield file('sticky/.wh..wh..opq')
  yield file('sticky/inside', 'inside')
  yield file('.wh.closed')
  yield directory('closed', {mode: 0, uid: 12})
  yield hardlink('closed/link', 'private/new-special')
  yield file('private/special', 'another one')
  yield file('.wh.inherits')
  yield endOfTar
}

/** In a user namespace there are no devices to link to. */
function* deviceLinks() {
  for (const kind of ['null', 'disk']) yield hardlink(`plain/new-${kind}`, `plain/${kind}`)
  yield endOfTar
}

const directories = [
  ['plain', 0, 0o755],
  ['private', 1000, 0o700],
  ['closed', 1000, 0],
  ['stranger', nobodyHere, 0o750],
  ['sticky', 12, 0o3777],
] as const

function xattr(name: string, value: string): Buffer {
  return pax([[`SCHILY.xattr.${name}`, value]])
}

/** The number of user 7, or none. */
function id(tag: number): string {
  return tag === 2 ? '\x07\0\0\0' : '\xff\xff\xff\xff'
}
