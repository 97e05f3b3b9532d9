/** Groups where a file system gives new files that of their directory, whoever makes them. */
import fs from 'node:fs'
import path from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {areNewFilesOurs} from '../../src/driver/new-files.ts'
import {type Privileges, readPrivileges} from '../../src/driver/privileges.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {Disk} from '../helpers/disk.ts'
import {dockerMembers, tarOf} from '../helpers/image.ts'
import {isRoot, scratch} from '../helpers/layers.ts'
import {directory, file, symlink, tar} from '../helpers/tar.ts'

const disk = isRoot ? makeDisk() : undefined
const diskTest = disk === undefined ? test.skip : test
test.after.always(() => disk?.[Symbol.dispose]())

/** @returns undefined where nothing can be mounted, as in most containers */
function makeDisk(): Disk | undefined {
  try {
    return new Disk({size: 64 << 20, mountOptions: 'grpid'})
  } catch {
    return undefined
  }
}

/** Asks a directory, which has to be the same after. */
function ask(t: ExecutionContext, folder: string, privileges: Partial<Privileges> = {}): boolean {
  const descriptor = fs.openSync(folder, 'r')
  try {
    fs.utimesSync(folder, 1, 1_000_000_000)
    return areNewFilesOurs(descriptor, {...readPrivileges(), ...privileges})
  } finally {
    fs.closeSync(descriptor)
    t.deepEqual(fs.readdirSync(folder), ['kept'])
    t.is(fs.statSync(folder).mtimeMs, 1_000_000_000_000)
  }
}

function folderIn(parent: string): string {
  const folder = fs.mkdtempSync(path.join(parent, 'folder-'))
  fs.writeFileSync(path.join(folder, 'kept'), '')
  return folder
}

test('new files are ours on most file systems, below a directory that gives its group, too', (t) => {
  const folder = folderIn(scratch(t))
  t.true(ask(t, folder))
  fs.chmodSync(folder, 0o2777)
  t.true(ask(t, folder))
})

test('where it cannot be told new files are not believed to be ours', (t) => {
  // A process that may not give what it makes to others, although it thinks so, or that is somebody else.
  t.false(ask(t, folderIn(scratch(t)), {uid: process.getuid!() + 1, canChangeOwner: true}))
})

diskTest('new files are not ours where they get the group of their directory (root, loop device)', (t) => {
  t.false(ask(t, folderIn(disk!.path)))
})

const layers = [
  tar(
    directory('theirs', {gid: 50, mode: 0o2755}),
    file('theirs/file', 'x', {mode: 0o2755}),
    file('theirs/large', Buffer.alloc(300_000), {}),
    file('theirs/own', '', {gid: 50}),
    symlink('theirs/link', 'file'),
    directory('theirs/ours'),
    file('theirs/ours/file'),
    file('theirs/implied/file'),
  ),
  tar(file('theirs/new', 'x', {mode: 0o2711}), file('theirs/implied/new'), file('theirs/.wh.large')),
]
/** Path, mode and group. */
const expected = [
  'theirs 2755 50',
  'theirs/file 2755 0',
  'theirs/implied 755 0',
  'theirs/implied/file 644 0',
  'theirs/implied/new 644 0',
  'theirs/link 777 0',
  'theirs/new 2711 0',
  'theirs/ours 755 0',
  'theirs/ours/file 644 0',
  'theirs/own 644 50',
]
/** What drivers write themselves. */
const isForeign = (line: string) => !/^theirs/.test(line) || line.includes('/.wh.') || / 0 0$/.test(line)

function groupsIn(root: string): string[] {
  const names = fs.readdirSync(root, {recursive: true, encoding: 'utf8'})
  return names.map((name) => {
    const {mode, gid} = fs.lstatSync(path.join(root, name))
    return `${name} ${(mode & 0o7777).toString(8)} ${gid}`
  })
}

for (const threads of ['1', '2']) {
  diskTest(`a directory has the groups that the image says, with ${threads} threads (root, loop device)`, async (t) => {
    const archive = path.join(scratch(t), 'app.tar')
    fs.writeFileSync(archive, tarOf(dockerMembers([{layers}])))
    const target = path.join(disk!.path, `target-${threads}`)
    for (const force of [[], ['--force']]) {
      const {status, stderr} = await spawnImgtool(['unpack', archive, target, '--threads', threads, ...force])
      t.is(status, 0, stderr)
      t.deepEqual(groupsIn(target).toSorted(), expected)
    }
  })
}

const places = {overlay2: 'overlay2/*/diff', aufs: 'aufs/diff/*', vfs: 'vfs/dir/*'}
for (const [driver, pattern] of Object.entries(places)) {
  diskTest(`${driver} has the groups that the image says (root, loop device)`, async (t) => {
    const archive = path.join(scratch(t), 'app.tar')
    fs.writeFileSync(archive, tarOf(dockerMembers([{names: ['app:1'], layers}])))
    const store = path.join(disk!.path, driver)
    const {status, stderr} = await spawnImgtool(['unpack', '--driver', driver, archive, store])
    t.is(status, 0, stderr)
    const roots = fs.globSync(path.join(store, pattern))
    t.is(roots.length, 2)
    const found = new Set(
      roots.flatMap(groupsIn).filter((line) => !isForeign(line) && !line.startsWith('theirs/large')),
    )
    t.deepEqual([...found].toSorted(), expected)
  })
}
