import {execFileSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {DirectoryDriver} from '../../src/driver/directory.ts'
import type {LayerTarget, PlaceID} from '../../src/driver/driver.ts'
import {FileThread} from '../../src/driver/file-writer.ts'
import {makeStaging} from '../../src/driver/staging.ts'
import {VfsDriver} from '../../src/driver/vfs.ts'
import type {ChangeSink} from '../../src/layer/change.ts'
import type {Entry} from '../../src/layer/tar/entry.ts'
import {Chunks} from '../../src/thread/chunks.ts'
import {describeTree} from '../helpers/describe-tree.ts'
import {add, entry, isRoot, scratch} from '../helpers/layers.ts'
import {nobody, withoutRoot} from '../helpers/without-root.ts'

const rootTest = isRoot ? test : test.skip
const onWarning = () => {}

/** A place for a layer. */
const idOf = (layer: number): PlaceID => String(layer).padStart(64, 'a')

function start(t: ExecutionContext, store = scratch(t)): VfsDriver {
  const driver = new VfsDriver(store)
  t.teardown(() => driver[Symbol.dispose]())
  return driver
}

/** What a layer does. */
type Layer = (changes: ChangeSink) => void

/** Makes a place that is filled with a layer. */
function fill(driver: VfsDriver, layer: number, apply: Layer): void {
  driver.create(idOf(layer), layer === 0 ? undefined : idOf(layer - 1))
  use(driver.applyDiff(idOf(layer), {onWarning}), apply)
}

function use(target: LayerTarget, apply: Layer): void {
  try {
    apply(target.changes)
    target.finish()
  } finally {
    target.close()
  }
}

/** The trees of layers, each on those before: with vfs, and in a directory that ends with that layer. */
function treesOf(t: ExecutionContext, layers: readonly Layer[]): {vfs: string[][]; directory: string[][]} {
  const base = scratch(t)
  const driver = start(t, base)
  for (const [at, apply] of layers.entries()) fill(driver, at, apply)
  return {
    vfs: layers.map((_, at) => describeTree(driver.get(idOf(at)))),
    directory: layers.map((_, at) => describeTree(unpack(path.join(base, `rootfs-${at}`), layers.slice(0, at + 1)))),
  }
}

function unpack(target: string, layers: readonly Layer[]): string {
  const driver = new DirectoryDriver(target, {force: false, onWarning})
  try {
    for (const [at, apply] of layers.entries()) {
      driver.changes.startLayer(at > 0)
      apply(driver.changes)
      driver.changes.finishLayer()
    }
    driver.commit({sync: false})
  } finally {
    driver.abort()
  }
  return target
}

const time = (seconds: number) => ({seconds, nanoseconds: 987_654_321})
const folder = (at: string, more: Partial<Entry> = {}): Partial<Entry> & {path: string} => ({
  path: at,
  kind: 'directory',
  mtime: time(1000 + at.length),
  ...more,
})

test('a place is a copy of its parent, which changes leave alone', (t) => {
  const driver = start(t)
  fill(driver, 0, (changes) => {
    add(changes, folder('d'))
    add(changes, {path: 'd/old'}, 'old')
    add(changes, {path: 'kept'}, 'kept')
  })
  const before = describeTree(driver.get(idOf(0)))
  fill(driver, 1, (changes) => {
    changes.remove('d/old')
    add(changes, {path: 'd/new'}, 'new')
    add(changes, {path: 'kept', mode: 0o600}, 'changed')
  })
  t.deepEqual(describeTree(driver.get(idOf(0))), before)
  t.deepEqual(fs.readdirSync(path.join(driver.get(idOf(1)), 'd')), ['new'])
  t.is(fs.readFileSync(path.join(driver.get(idOf(1)), 'kept'), 'utf8'), 'changed')
})

test('the store has the directories and modes that docker gives it', (t) => {
  const store = scratch(t)
  const before = process.umask(0o077)
  t.teardown(() => process.umask(before))
  const driver = start(t, store)
  t.deepEqual(driver.list(), [])
  t.false(driver.exists(idOf(0)))
  t.deepEqual(fs.readdirSync(store), [])
  driver.create(idOf(0), undefined)
  driver.create(`${idOf(1)}-init`, idOf(0))
  const mode = (name: string) => (fs.statSync(path.join(store, name)).mode & 0o7777).toString(8)
  t.deepEqual(['vfs', 'vfs/dir', 'tmp', `vfs/dir/${idOf(0)}`, `vfs/dir/${idOf(1)}-init`].map(mode), [
    '710',
    '710',
    '700',
    '755',
    '755',
  ])
  t.deepEqual(fs.readdirSync(path.join(store, 'tmp')), [])
  t.deepEqual(driver.list().sort(), [idOf(0), `${idOf(1)}-init`])
  t.is(driver.get(idOf(0)), path.join(store, 'vfs/dir', idOf(0)))
  driver.put(idOf(0))
  t.deepEqual(driver.parents(`${idOf(1)}-init`), [])
  t.deepEqual(driver.status(), [])
})

test('what is removed is gone, and what is not there is fine', (t) => {
  const driver = start(t)
  driver.remove(idOf(0))
  fill(driver, 0, (changes) => add(changes, {path: 'a/b/c'}, 'x'))
  driver.create(idOf(1), idOf(0))
  driver.remove(idOf(0))
  driver.remove(idOf(0))
  t.deepEqual(driver.list(), [idOf(1)])
  t.false(driver.exists(idOf(0)))
  t.throws(() => driver.get(idOf(0)), {code: 'STORE_INVALID'})
})

test('a place that is there, or a parent that is not, is refused and leaves nothing', (t) => {
  const store = scratch(t)
  const driver = start(t, store)
  t.throws(() => driver.create(idOf(1), idOf(0)), {code: 'STORE_INVALID'})
  driver.create(idOf(0), undefined)
  t.throws(() => driver.create(idOf(0), undefined), {code: 'TARGET_EXISTS'})
  t.throws(() => driver.applyDiff(idOf(1), {onWarning}), {code: 'STORE_INVALID'})
  t.deepEqual(fs.readdirSync(path.join(store, 'tmp')), [])
  t.deepEqual(driver.list(), [idOf(0)])
})

test('names that are no places lead nowhere', (t) => {
  const store = scratch(t)
  const driver = start(t, path.join(store, 'data'))
  fs.mkdirSync(path.join(store, 'data'))
  driver.create(idOf(0), undefined)
  fs.mkdirSync(path.join(store, 'data/vfs/dir/other'))
  fs.symlinkSync(store, path.join(store, 'data/vfs/dir', idOf(1)))
  t.deepEqual(driver.list(), [idOf(0)])
  for (const id of [
    '',
    '.',
    '..',
    '../..',
    'other',
    idOf(0).toUpperCase(),
    `${idOf(0)}/`,
    `${idOf(0)}\n`,
    'a'.repeat(63),
  ]) {
    const refused = {code: 'STORE_INVALID'}
    t.throws(() => driver.create(id, undefined), refused)
    t.throws(() => driver.create(idOf(2), id), refused)
    t.throws(() => driver.remove(id), refused)
    t.throws(() => driver.exists(id), refused)
    t.throws(() => driver.get(id), refused)
    t.throws(() => driver.applyDiff(id, {onWarning}), refused)
  }
  // A link is no place, wherever it leads.
  t.false(driver.exists(idOf(1)))
  t.throws(() => driver.create(idOf(2), idOf(1)), {code: 'STORE_INVALID'})
  t.throws(() => driver.applyDiff(idOf(1), {onWarning}), {code: 'STORE_INVALID'})
  driver.remove(idOf(1))
  t.deepEqual(fs.readdirSync(store), ['data'])
})

test('what a killed run left goes, what a living one makes stays', (t) => {
  const store = scratch(t)
  const temporary = path.join(store, 'tmp')
  fs.mkdirSync(path.join(temporary, 'imgtool-0123456789ab/deep'), {recursive: true})
  for (const name of ['GetImageBlob123', 'imgtool-other']) fs.mkdirSync(path.join(temporary, name))
  const parent = fs.openSync(temporary, 'r')
  const living = makeStaging(parent, '', 'store')
  start(t, store).cleanup()
  t.deepEqual(fs.readdirSync(temporary).sort(), ['GetImageBlob123', 'imgtool-other', living.name].sort())
  for (const descriptor of [parent, living.descriptor]) fs.closeSync(descriptor)
})

test('directories keep what their last entries said, whatever is put into or taken out of them', (t) => {
  const {vfs, directory} = treesOf(t, [
    (changes) => {
      add(changes, folder('', {mode: 0o711}))
      add(changes, folder('a', {mode: 0o1777}))
      add(changes, folder('a/b', {mode: 0o700}))
      add(changes, {path: 'a/b/f'}, 'f')
      add(changes, {path: 'implied/f'}, 'f')
    },
    (changes) => {
      add(changes, {path: 'a/b/g', mtime: time(5)}, 'g')
      changes.remove('a/b/f')
      add(changes, {path: 'implied/more/f', mtime: time(6)}, 'f')
      add(changes, {path: 'new', mtime: time(7)})
    },
    (changes) => add(changes, folder('a', {mode: 0o750})),
    () => {},
  ])
  t.deepEqual(vfs, directory)
})

test('a root that no entry describes is as its first layer left it', (t) => {
  const {vfs, directory} = treesOf(t, [
    (changes) => add(changes, {path: 'a', mtime: time(1)}),
    (changes) => add(changes, {path: 'b', mtime: time(2)}),
  ])
  t.deepEqual(vfs, directory)
  t.regex(vfs[1]![0]!, /1987654321/)
})

test('names of one file are one file in every layer', (t) => {
  const {vfs, directory} = treesOf(t, [
    (changes) => {
      add(changes, {path: 'd/a'}, 'one')
      add(changes, {path: 'b', kind: 'hardlink', link: 'd/a'})
      add(changes, {path: 'l', kind: 'symlink', link: 'd'})
    },
    (changes) => {
      add(changes, {path: 'c', kind: 'hardlink', link: 'b'})
      add(changes, {path: 'again', kind: 'hardlink', link: 'l'})
      changes.remove('b')
    },
    (changes) => {
      add(changes, {path: 'l/a'}, 'another')
      add(changes, {path: 'e', kind: 'hardlink', link: 'c'})
    },
  ])
  t.deepEqual(vfs, directory)
  t.is(vfs[2]!.filter((line) => line.includes('2 of c')).length, 2)
})

test('a directory that is deleted and made again has nothing of the lower one', (t) => {
  const lower: Layer = (changes) => {
    add(changes, folder('d', {mode: 0o700, xattrs: new Map([['user.lower', 'x']])}))
    add(changes, {path: 'd/old'}, 'old')
    add(changes, folder('d/sub'))
    add(changes, {path: 'd/sub/old'}, 'old')
  }
  const {vfs, directory} = treesOf(t, [
    lower,
    (changes) => {
      changes.remove('d')
      add(changes, folder('d'))
      add(changes, {path: 'd/new'}, 'new')
    },
    lower,
    (changes) => {
      add(changes, {path: 'd/sub/new', mtime: time(3)}, 'new')
      changes.remove('d')
    },
    (changes) => {
      changes.opaque('d')
      add(changes, {path: 'd/last', mtime: time(4)}, 'last')
    },
  ])
  t.deepEqual(vfs, directory)
})

test('an opaque root hides all that is below', (t) => {
  const {vfs, directory} = treesOf(t, [
    (changes) => {
      add(changes, folder('', {mode: 0o700}))
      add(changes, {path: 'a/b/c'}, 'c')
    },
    (changes) => {
      add(changes, {path: 'a/new'}, 'new')
      changes.opaque('')
    },
  ])
  t.deepEqual(vfs, directory)
  t.is(vfs[1]!.length, 3)
})

test('rules of lower directories for what is made inside reach nothing of an upper layer, and stay', (t) => {
  // The form of an ACL: version 2, then tag, permissions and id of the owner, the group and all others.
  const acl = Buffer.from('0200000001000700ffffffff04000000ffffffff20000000ffffffff', 'hex').toString('latin1')
  const xattrs = new Map([['system.posix_acl_default', acl]])
  const {vfs, directory} = treesOf(t, [
    (changes) => add(changes, folder('d', {mode: 0o2775, gid: isRoot ? 4242 : process.getgid!(), xattrs})),
    (changes) => {
      add(changes, {path: 'd/f'}, 'f')
      add(changes, {path: 'd/p', kind: 'fifo'})
      add(changes, folder('d/sub', {mode: 0o777}))
      add(changes, {path: 'd/sub/f', mode: 0o666}, 'f')
      add(changes, {path: 'd/implied/f'}, 'f')
    },
    (changes) => add(changes, folder('d', {mode: 0o755})),
  ])
  t.deepEqual(vfs, directory)
  if (vfs[0]!.every((line) => !line.includes('posix_acl_default'))) t.log('no ACLs here')
  else
    t.deepEqual(
      vfs.map((lines) => lines.filter((line) => line.includes('posix_acl')).length),
      [1, 1, 0],
    )
})

rootTest('owners, devices, also those that overlayfs takes for whiteouts, and locked directories survive', (t) => {
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1')
  const {vfs, directory} = treesOf(t, [
    (changes) => {
      add(changes, folder('d', {mode: 0o000, uid: 5, gid: 6}))
      add(changes, folder('d/d', {mode: 0o000}))
      add(changes, {path: 'd/d/f', mode: 0o6755, uid: 7, xattrs: new Map([['security.capability', capability]])}, 'f')
      add(changes, {path: 'zero', kind: 'character', deviceMajor: 0, deviceMinor: 0, mode: 0o600})
      add(changes, {path: 'block', kind: 'block', deviceMajor: 0xfff, deviceMinor: 0xf_ffff, uid: 8})
      add(changes, {path: 'l', kind: 'symlink', link: 'd', uid: 9})
    },
    (changes) => {
      add(changes, {path: 'd/d/g'}, 'g')
      add(changes, {path: 'one', kind: 'character', deviceMajor: 0, deviceMinor: 0})
      changes.remove('block')
    },
    (changes) => changes.remove('d/d'),
  ])
  t.deepEqual(vfs, directory)
})

test('what only root may read is not copied by others, and nothing is left', (t) => {
  const store = scratch(t)
  if (isRoot) fs.chownSync(store, nobody, nobody)
  withoutRoot(() => {
    const driver = start(t, store)
    const locked = [{path: 'd/secret', mode: 0o000}, folder('d/secret', {mode: 0o300})]
    for (const [at, what] of locked.entries()) {
      const base = idOf(10 * at)
      driver.create(base, undefined)
      use(driver.applyDiff(base, {onWarning}), (changes) => add(changes, what))
      t.throws(() => driver.create(idOf(10 * at + 1), base), {code: 'PERMISSION_DENIED'})
    }
    t.is(driver.list().length, locked.length)
    t.deepEqual(fs.readdirSync(path.join(store, 'tmp')), [])
  })
})

test('directories that their owner may not write to are filled by others than root, too', (t) => {
  const base = scratch(t)
  if (isRoot) fs.chownSync(base, nobody, nobody)
  const layers: Layer[] = [
    (changes) => {
      add(changes, folder('d', {mode: 0o555}))
      add(changes, folder('d/d', {mode: 0o500}))
      add(changes, {path: 'd/d/old'}, 'old')
    },
    (changes) => {
      add(changes, {path: 'd/d/new'}, 'new')
      changes.remove('d/d/old')
    },
  ]
  withoutRoot(() => {
    const driver = start(t, base)
    for (const [at, apply] of layers.entries()) fill(driver, at, apply)
    t.deepEqual(describeTree(driver.get(idOf(1))), describeTree(unpack(path.join(base, 'rootfs'), layers)))
  })
})

test('a group or an ACL of the store does not reach the files', (t) => {
  const store = scratch(t)
  fs.mkdirSync(path.join(store, 'tmp'))
  if (isRoot) fs.chownSync(path.join(store, 'tmp'), 0, 4242)
  fs.chmodSync(path.join(store, 'tmp'), 0o2755)
  try {
    execFileSync('setfacl', ['-d', '-m', 'u:12345:rwx', path.join(store, 'tmp')], {stdio: 'ignore'})
  } catch {
    t.log('without setfacl: only the group is tested')
  }
  const driver = start(t, store)
  const layers: Layer[] = [(changes) => add(changes, {path: 'd/f'}, 'f'), (changes) => add(changes, {path: 'd/g'}, 'g')]
  for (const [at, apply] of layers.entries()) fill(driver, at, apply)
  t.deepEqual(describeTree(driver.get(idOf(1))), describeTree(unpack(path.join(scratch(t), 'rootfs'), layers)))
})

test('a layer that is refused leaves its place to be removed', (t) => {
  const driver = start(t)
  fill(driver, 0, (changes) => add(changes, folder('d', {mode: 0o500})))
  const fail: Layer = (changes) => {
    add(changes, {path: 'd/f'}, 'f')
    add(changes, {path: 'd/l', kind: 'hardlink', link: 'nowhere'})
  }
  t.throws(() => fill(driver, 1, fail), {code: 'LINK_INVALID'})
  driver.remove(idOf(1))
  t.deepEqual(driver.list(), [idOf(0)])
})

test('another thread makes files, too', async (t) => {
  const thread = new FileThread(new Chunks(16))
  try {
    await thread.settled
    const driver = start(t)
    fill(driver, 0, (changes) => add(changes, folder('d', {mode: 0o2700})))
    driver.create(idOf(1), idOf(0))
    const names = Array.from({length: 100}, (_, at) => `d/${at}`)
    use(driver.applyDiff(idOf(1), {onWarning, thread}), (changes) => {
      for (const name of names) thread.chunks.share(Buffer.from(name), (shared) => addShared(changes, name, shared))
    })
    t.deepEqual(
      names.map((name) => fs.readFileSync(path.join(driver.get(idOf(1)), name), 'utf8')),
      names,
    )
    t.is(fs.statSync(path.join(driver.get(idOf(1)), 'd')).mtimeMs, 1001_987.654321)
  } finally {
    await thread.close()
  }
})

function addShared(changes: ChangeSink, name: string, bytes: Buffer): void {
  changes.add(entry({path: name, size: bytes.length}))
  changes.data(bytes, 0)
  changes.end()
}
