import assert from 'node:assert/strict'
import {execFileSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {FileThread} from '../../src/driver/file-writer.ts'
import {InPlace} from '../../src/driver/in-place.ts'
import {describeLosses, type Privileges, readPrivileges} from '../../src/driver/privileges.ts'
import type {Warning} from '../../src/layer/change.ts'
import {Chunks} from '../../src/thread/chunks.ts'
import {add, entry, isRoot, scratch} from '../helpers/layers.ts'
import {withoutRoot} from '../helpers/without-root.ts'
import {readXattrs} from '../helpers/xattrs.ts'

const rootTest = isRoot ? test : test.skip

interface Tree {
  readonly root: string
  /** Beside the root, with a file that nothing may touch. */
  readonly outside: string
  readonly changes: InPlace
  readonly warnings: Warning[]
}

function start(t: ExecutionContext, privileges: Partial<Privileges> = {}, thread?: FileThread): Tree {
  const directory = scratch(t)
  const root = path.join(directory, 'rootfs')
  const outside = path.join(directory, 'outside')
  fs.mkdirSync(root)
  fs.mkdirSync(outside)
  fs.writeFileSync(path.join(outside, 'secret'), 'secret')
  const descriptor = fs.openSync(root, 'r')
  const warnings: Warning[] = []
  const onWarning = (warning: Warning) => void warnings.push(warning)
  const changes = new InPlace(descriptor, {...readPrivileges(), ...privileges}, {onWarning, thread})
  changes.startLayer(false)
  t.teardown(() => {
    changes.close()
    fs.closeSync(descriptor)
    assert.deepEqual(fs.readdirSync(outside), ['secret'])
    assert.equal(fs.readFileSync(path.join(outside, 'secret'), 'utf8'), 'secret')
  })
  return {root, outside, changes, warnings}
}

/** What the machine itself gives every file, such as a label, is not the image's. */
const withoutHost = ({'security.selinux': _, ...own}: Record<string, string>) => own
const read = ({root}: Tree, name: string) => fs.readFileSync(path.join(root, name), 'utf8')
const stat = ({root}: Tree, name: string) => fs.lstatSync(path.join(root, name), {bigint: true})
const names = ({root}: Tree, name = '') => fs.readdirSync(path.join(root, name)).sort()

test('files, directories, symlinks and fifos have their content, mode and time', (t) => {
  const tree = start(t)
  const mtime = {seconds: -5, nanoseconds: 7}
  add(tree.changes, {path: 'd', kind: 'directory', mode: 0o1777, mtime})
  add(tree.changes, {path: 'd/f', mode: 0o4711, mtime}, 'content')
  add(tree.changes, {path: 'd/l', kind: 'symlink', link: '../nowhere', mode: 0o777, mtime})
  add(tree.changes, {path: 'd/p', kind: 'fifo', mode: 0o622, mtime})
  tree.changes.finish()
  t.is(read(tree, 'd/f'), 'content')
  t.is(fs.readlinkSync(path.join(tree.root, 'd/l')), '../nowhere')
  t.true(stat(tree, 'd/p').isFIFO())
  const modes = ['d', 'd/f', 'd/p'].map((name) => (stat(tree, name).mode & 0o7777n).toString(8))
  t.deepEqual(modes, ['1777', '4711', '622'])
  for (const name of ['d', 'd/f', 'd/l', 'd/p']) t.is(stat(tree, name).mtimeNs, -4_999_999_993n, name)
})

test('the umask has no say', (t) => {
  const before = process.umask(0o077)
  t.teardown(() => process.umask(before))
  const tree = start(t)
  add(tree.changes, {path: 'd', kind: 'directory', mode: 0o777})
  add(tree.changes, {path: 'f', mode: 0o666}, 'x')
  add(tree.changes, {path: 'p', kind: 'fifo', mode: 0o666})
  tree.changes.finish()
  t.deepEqual(
    ['d', 'f', 'p'].map((name) => stat(tree, name).mode & 0o777n),
    [0o777n, 0o666n, 0o666n],
  )
})

test('names are bytes: what is not UTF-8 stays as it is', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'a\xff'}, '1')
  add(tree.changes, {path: 'a\xfe'}, '2')
  add(tree.changes, {path: 'l', kind: 'symlink', link: '\xff/\xfe'})
  t.deepEqual(fs.readdirSync(tree.root, 'latin1').sort(), ['a\xfe', 'a\xff', 'l'])
  t.is(fs.readlinkSync(path.join(tree.root, 'l'), 'latin1'), '\xff/\xfe')
})

test('sparse files keep their holes', (t) => {
  const tree = start(t)
  const size = 64 * 1024 * 1024
  const pieces = [{offset: 32 * 1024 * 1024, length: 3}]
  tree.changes.add(entry({path: 's', size, pieces}))
  tree.changes.data(Buffer.from('end'), pieces[0]!.offset)
  tree.changes.end()
  t.is(stat(tree, 's').size, BigInt(size))
  t.true(stat(tree, 's').blocks < 1000n)
  t.is(read(tree, 's').slice(pieces[0]!.offset, pieces[0]!.offset + 4), 'end\0')
})

test('directories get their modes from the leaves up, so that nobody is locked out', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'a', kind: 'directory', mode: 0o000})
  add(tree.changes, {path: 'a/b', kind: 'directory', mode: 0o000})
  add(tree.changes, {path: 'a/b/f'}, 'x')
  tree.changes.finish()
  t.is(stat(tree, 'a').mode & 0o777n, 0n)
  fs.chmodSync(path.join(tree.root, 'a'), 0o700)
  t.is(stat(tree, 'a/b').mode & 0o777n, 0n)
  fs.chmodSync(path.join(tree.root, 'a/b'), 0o700)
})

test('missing parents are made, 0755, with the time of what needed them', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'a/b/f', mtime: {seconds: 1000, nanoseconds: 0}}, 'x')
  tree.changes.finish()
  t.is(stat(tree, 'a/b').mode & 0o7777n, 0o755n)
  t.is(stat(tree, 'a').mtimeNs, 1_000_000_000_000n)
})

test('whatever stands under a name is replaced, never written through', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'l', kind: 'symlink', link: '../outside/secret'})
  add(tree.changes, {path: 'l'}, 'mine')
  add(tree.changes, {path: 'd', kind: 'directory'})
  add(tree.changes, {path: 'd/x'}, 'x')
  add(tree.changes, {path: 'd', kind: 'symlink', link: '../outside'})
  add(tree.changes, {path: 'd/secret'}, 'inside')
  t.is(read(tree, 'l'), 'mine')
  t.true(stat(tree, 'd').isSymbolicLink())
  t.is(read(tree, 'outside/secret'), 'inside')
})

test('symlinks lead inside the root, as after a chroot', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'absolute', kind: 'symlink', link: '/usr/lib'})
  add(tree.changes, {path: 'up', kind: 'symlink', link: '../../../..'})
  add(tree.changes, {path: 'chain', kind: 'symlink', link: 'up/absolute/../bin'})
  add(tree.changes, {path: 'absolute/a'}, 'a')
  add(tree.changes, {path: 'up/b'}, 'b')
  add(tree.changes, {path: 'chain/c'}, 'c')
  t.is(read(tree, 'usr/lib/a'), 'a')
  t.is(read(tree, 'b'), 'b')
  t.is(read(tree, 'usr/bin/c'), 'c')
})

test('a link that another one replaces leads to the new place', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'one/f'}, '')
  add(tree.changes, {path: 'two/f'}, '')
  add(tree.changes, {path: 'l', kind: 'symlink', link: 'one'})
  add(tree.changes, {path: 'l/a'}, 'a')
  add(tree.changes, {path: 'l', kind: 'symlink', link: 'two'})
  add(tree.changes, {path: 'l/b'}, 'b')
  t.deepEqual(names(tree, 'one'), ['a', 'f'])
  t.deepEqual(names(tree, 'two'), ['b', 'f'])
})

test('loops, and files as parents, are refused', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'a', kind: 'symlink', link: 'b'})
  add(tree.changes, {path: 'b', kind: 'symlink', link: 'a'})
  t.throws(() => add(tree.changes, {path: 'a/x'}), {code: 'LINK_INVALID'})
  add(tree.changes, {path: 'f'}, 'x')
  t.throws(() => add(tree.changes, {path: 'f/x'}), {code: 'ENTRY_INVALID'})
  const doubling = Array.from({length: 30}, (_, n) => ({
    path: `s${n + 1}`,
    kind: 'symlink' as const,
    link: `s${n}/s${n}`,
  }))
  add(tree.changes, {path: 's0', kind: 'symlink', link: '.'})
  for (const link of doubling) add(tree.changes, link)
  t.throws(() => add(tree.changes, {path: 's30/x'}), {code: 'LINK_INVALID'})
})

test('names that are too long are refused, deep paths are not', (t) => {
  const tree = start(t)
  t.throws(() => add(tree.changes, {path: 'n'.repeat(256)}), {code: 'ENTRY_INVALID'})
  const deep = Array.from({length: 100}, () => 'd'.repeat(100)).join('/')
  add(tree.changes, {path: `${deep}/f`}, 'bottom')
  tree.changes.finish()
  const found = execFileSync('find', [tree.root, '-name', 'f', '-printf', '%d']).toString()
  t.is(found, '101')
})

test('hard links are names of one file', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'a'}, 'x')
  add(tree.changes, {path: 'd/b', kind: 'hardlink', link: 'a'})
  add(tree.changes, {path: 'l', kind: 'symlink', link: 'a'})
  add(tree.changes, {path: 'm', kind: 'hardlink', link: 'l'})
  t.is(stat(tree, 'd/b').ino, stat(tree, 'a').ino)
  t.is(stat(tree, 'm').ino, stat(tree, 'l').ino)
  add(tree.changes, {path: 'a'}, 'new')
  t.is(read(tree, 'd/b'), 'x')
})

test('hard links that lead nowhere, to themselves, to a directory or out are refused, and delete nothing', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'a'}, 'x')
  add(tree.changes, {path: 'd', kind: 'directory'})
  add(tree.changes, {path: 'out', kind: 'symlink', link: '../outside'})
  for (const [name, link] of [
    ['a', 'a'],
    ['a', 'missing'],
    ['n', 'd'],
    ['n', ''],
    ['n', 'out/secret'],
    ['n', 'a/b'],
  ] as const) {
    t.throws(
      () => add(tree.changes, {path: name, kind: 'hardlink', link}),
      {code: 'LINK_INVALID'},
      `${name} -> ${link}`,
    )
  }
  t.is(read(tree, 'a'), 'x')
})

test('a hard link over the directory that holds its target is refused', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'd/f'}, 'x')
  t.throws(() => add(tree.changes, {path: 'd', kind: 'hardlink', link: 'd/f'}), {code: 'LINK_INVALID'})
})

test('whiteouts hide what lower layers have, wherever in their layer they stand', (t) => {
  const tree = start(t)
  for (const name of ['gone', 'd/old', 'd/sub/deep', 'e/old']) add(tree.changes, {path: name}, 'lower')
  tree.changes.startLayer(true)
  add(tree.changes, {path: 'd/new'}, 'upper')
  add(tree.changes, {path: 'd/sub/new'}, 'upper')
  tree.changes.remove('gone')
  tree.changes.remove('d')
  tree.changes.remove('d/new')
  tree.changes.opaque('e')
  tree.changes.remove('never/was')
  tree.changes.opaque('never')
  add(tree.changes, {path: 'e/new'}, 'upper')
  t.deepEqual(names(tree), ['d', 'e'])
  t.deepEqual(names(tree, 'd'), ['new', 'sub'])
  t.deepEqual(names(tree, 'd/sub'), ['new'])
  t.deepEqual(names(tree, 'e'), ['new'])
})

test('a directory that is hidden but needed again loses the attributes of the lower one', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'd', kind: 'directory', mode: 0o700})
  tree.changes.startLayer(true)
  add(tree.changes, {path: 'd/new'}, 'x')
  tree.changes.remove('d')
  tree.changes.finish()
  t.is(stat(tree, 'd').mode & 0o7777n, 0o755n)
})

test('an opaque mark leaves its directory with mode and time', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'd', kind: 'directory', mode: 0o1770, mtime: {seconds: 77, nanoseconds: 0}})
  add(tree.changes, {path: 'd/old'}, 'x')
  tree.changes.startLayer(true)
  tree.changes.opaque('d')
  tree.changes.finish()
  t.deepEqual(names(tree, 'd'), [])
  t.is(stat(tree, 'd').mode & 0o7777n, 0o1770n)
  t.is(stat(tree, 'd').mtimeNs, 77_000_000_000n)
})

test('whiteouts in the lowest layer hide nothing', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'a'}, 'x')
  tree.changes.remove('a')
  tree.changes.opaque('')
  t.deepEqual(names(tree), ['a'])
})

test('whiteouts through symlinks stay inside', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'out', kind: 'symlink', link: '../outside'})
  add(tree.changes, {path: 'outside/secret'}, 'inside')
  tree.changes.startLayer(true)
  tree.changes.remove('out/secret')
  tree.changes.opaque('out')
  t.deepEqual(names(tree, 'outside'), [])
})

test('the time of a directory that became a link reaches nothing', (t) => {
  const tree = start(t)
  fs.utimesSync(tree.outside, 5, 5)
  add(tree.changes, {path: 'a/b', kind: 'directory', mode: 0o777})
  add(tree.changes, {path: 'a', kind: 'symlink', link: '../outside'})
  tree.changes.finish()
  t.is(fs.statSync(tree.outside).mtimeMs, 5000)
})

test('special bits of a directory wait for the end: a set-group-id bit gives its group to nothing inside', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'd', kind: 'directory', mode: 0o2775})
  t.is(stat(tree, 'd').mode & 0o7000n, 0n)
  tree.changes.finish()
  t.is(stat(tree, 'd').mode & 0o7777n, 0o2775n)
})

test('xattrs that belong to an image are kept, the others left out with a warning', (t) => {
  const tree = start(t)
  const xattrs = new Map([
    ['user.a', '\0\n=\xff'],
    ['trusted.overlay.opaque', 'y'],
    ['user.overlay.whiteout', ''],
    ['user.fuseoverlayfs.opaque', 'y'],
    ['user.containers.override_stat', '0:0:4755'],
    ['security.selinux', 'label'],
    ['foo.bar', 'x'],
  ])
  add(tree.changes, {path: 'd', kind: 'directory', xattrs})
  add(tree.changes, {path: 'f', xattrs}, 'x')
  t.deepEqual(withoutHost(readXattrs(path.join(tree.root, 'f'))), {'user.a': '000a3dff'})
  t.deepEqual(withoutHost(readXattrs(path.join(tree.root, 'd'))), {'user.a': '000a3dff'})
  t.true(tree.warnings.every(({code}) => code === 'XATTR_DROPPED'))
  t.is(tree.warnings.length, 10)
})

test('a file that its owner may not write to has its xattrs', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'f', mode: 0o444, xattrs: new Map([['user.a', 'x']])}, 'x')
  t.is(stat(tree, 'f').mode & 0o7777n, 0o444n)
  t.is(readXattrs(path.join(tree.root, 'f'))['user.a'], '78')
})

test('a directory over a directory replaces its xattrs and keeps its children', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'd', kind: 'directory', xattrs: new Map([['user.old', '1']])})
  add(tree.changes, {path: 'd/child'}, 'x')
  tree.changes.startLayer(true)
  add(tree.changes, {path: 'd', kind: 'directory', xattrs: new Map([['user.new', '2']])})
  t.deepEqual(withoutHost(readXattrs(path.join(tree.root, 'd'))), {'user.new': '32'})
  t.deepEqual(names(tree, 'd'), ['child'])
})

test('rules of a directory for what is made inside wait for the end', (t) => {
  const tree = start(t)
  // The form of an ACL: version 2, then tag, permissions and id of the owner, the group and all others.
  const acl = Buffer.from('0200000001000700ffffffff04000000ffffffff20000000ffffffff', 'hex')
  const xattrs = new Map([
    ['system.posix_acl_default', acl.toString('latin1')],
    ['foo.bar', 'x'],
  ])
  add(tree.changes, {path: 'd', kind: 'directory', mode: 0o755, xattrs})
  add(tree.changes, {path: 'd/f', mode: 0o644}, 'x')
  add(tree.changes, {path: 'd/sub/f', mode: 0o644}, 'x')
  tree.changes.finish()
  t.is(stat(tree, 'd/f').mode & 0o7777n, 0o644n)
  t.is(stat(tree, 'd/sub').mode & 0o7777n, 0o755n)
  t.is(stat(tree, 'd').mode & 0o7777n, 0o755n)
  const rules = (name: string) => readXattrs(path.join(tree.root, name))['system.posix_acl_default']
  if (tree.warnings.length > 1) t.log('no ACLs here')
  else t.is(rules('d'), acl.toString('hex'))
  t.is(rules('d/sub'), undefined)
})

rootTest('owners are numbers, and survive with special bits and capabilities', (t) => {
  const tree = start(t)
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1')
  add(
    tree.changes,
    {
      path: 'f',
      uid: 3_000_000,
      gid: 4_294_967_294,
      mode: 0o6755,
      xattrs: new Map([['security.capability', capability]]),
    },
    'x',
  )
  add(tree.changes, {path: 'l', kind: 'symlink', link: 'f', uid: 5, gid: 6})
  t.is(stat(tree, 'f').uid, 3_000_000n)
  t.is(stat(tree, 'f').gid, 4_294_967_294n)
  t.is(stat(tree, 'f').mode & 0o7777n, 0o6755n)
  t.is(stat(tree, 'l').uid, 5n)
  t.is(readXattrs(path.join(tree.root, 'f'))['security.capability'], Buffer.from(capability, 'latin1').toString('hex'))
  t.throws(() => add(tree.changes, {path: 'g', xattrs: new Map([['security.capability', 'junk']])}), {
    code: 'ENTRY_INVALID',
  })
})

rootTest('devices have their numbers, also large ones', (t) => {
  const tree = start(t)
  add(tree.changes, {path: 'null', kind: 'character', mode: 0o666, deviceMajor: 1, deviceMinor: 3})
  add(tree.changes, {path: 'big', kind: 'block', mode: 0o600, deviceMajor: 0xfff, deviceMinor: 0xf_ffff})
  add(tree.changes, {path: 'alias', kind: 'hardlink', link: 'null'})
  t.true(stat(tree, 'null').isCharacterDevice())
  t.is(stat(tree, 'null').rdev, 0x103n)
  t.is(stat(tree, 'big').rdev, 0xffffffffn)
  t.is(stat(tree, 'alias').ino, stat(tree, 'null').ino)
})

test('who cannot keep the owner of a file keeps no bits that let others act as its owner', (t) => {
  const tree = start(t, {canChangeOwner: false})
  const [uid, gid] = [process.getuid!(), process.getgid!()]
  const kept = addOwned(tree.changes, {uid: uid + 1, gid})
  addOwned(tree.changes, {uid, gid: gid + 1}, 'group-')
  addOwned(tree.changes, {uid, gid}, 'own-')
  tree.changes.finish()
  const modes = (prefix: string) =>
    kept.map((name) =>
      stat(tree, prefix + name)
        .mode.toString(8)
        .slice(-4),
    )
  t.deepEqual(modes(''), ['0755', '0444', '1755', '0666', '2775'])
  t.deepEqual(modes('group-'), modes(''))
  t.deepEqual(modes('own-'), ['6755', '4444', '7755', '6666', '2775'])
})

for (const kind of ['here', 'there'] as const) {
  test(`a file whose owner the system refuses keeps no such bits, made ${kind}`, async (t) => {
    const thread = kind === 'there' ? new FileThread(new Chunks(2)) : undefined
    await thread?.settled
    // Teardowns go backwards: the tree is closed first.
    t.teardown(() => thread?.close())
    const tree = start(t, {canChangeOwner: true, canMakeDevices: true}, thread)
    fs.chmodSync(path.dirname(tree.root), 0o755)
    if (isRoot) fs.chownSync(tree.root, 65534, 65534)
    withoutRoot(() => {
      addOwned(tree.changes, {uid: 4242, gid: 4242})
      thread?.chunks.share(Buffer.from('content'), (bytes) => {
        tree.changes.add(entry({path: 'shared', mode: 0o6755, size: bytes.length, uid: 4242}))
        tree.changes.data(bytes, 0)
        tree.changes.end()
      })
      tree.changes.finish()
    })
    const files = thread === undefined ? ['f', 'locked', 'p'] : ['f', 'locked', 'p', 'shared']
    t.deepEqual(
      files.filter((name) => (stat(tree, name).mode & 0o6000n) !== 0n),
      [],
    )
    t.true(tree.warnings.some(({code}) => code === 'OWNER_LOST'))
  })
}

/** Adds one of each kind that has special bits. */
function addOwned(changes: InPlace, owner: {uid: number; gid: number}, prefix = ''): string[] {
  const xattrs = new Map([['user.a', 'x']])
  add(changes, {path: `${prefix}f`, mode: 0o6755, ...owner}, 'x')
  add(changes, {path: `${prefix}locked`, mode: 0o4444, xattrs, ...owner}, 'x')
  add(changes, {path: `${prefix}sticky`, mode: 0o7755, ...owner})
  add(changes, {path: `${prefix}p`, kind: 'fifo', mode: 0o6666, ...owner})
  // In a directory the bit gives its group to new files, and lets nobody act as anybody.
  add(changes, {path: `${prefix}d`, kind: 'directory', mode: 0o2775, ...owner})
  return ['f', 'locked', 'sticky', 'p', 'd']
}

test('without the privilege devices, and links to them, are left out with a warning', (t) => {
  const {root} = start(t)
  const warnings: Warning[] = []
  const descriptor = fs.openSync(root, 'r')
  const onWarning = (warning: Warning) => void warnings.push(warning)
  const changes = new InPlace(descriptor, {...readPrivileges(), canMakeDevices: false}, {onWarning})
  changes.startLayer(false)
  add(changes, {path: 'null', kind: 'character', deviceMajor: 1, deviceMinor: 3})
  add(changes, {path: 'alias', kind: 'hardlink', link: 'null'})
  changes.close()
  fs.closeSync(descriptor)
  t.deepEqual(fs.readdirSync(root), [])
  t.deepEqual(
    warnings.map(({code}) => code),
    ['DEVICE_SKIPPED', 'DEVICE_SKIPPED'],
  )
})

test('what will be lost is said in one sentence', (t) => {
  const none = {uid: 5, gid: 5, umask: 0o22, canChangeOwner: false, canMakeDevices: false, canSetCapabilities: false}
  const all = {canChangeOwner: true, canMakeDevices: true, canSetCapabilities: true}
  t.is(describeLosses({...none, ...all}), undefined)
  t.is(
    describeLosses(none),
    'Running as uid 5: owners, set-user-id and set-group-id bits of their files, device nodes and file capabilities cannot be kept',
  )
})
