import {execFileSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {DirectoryDriver} from '../../src/driver/directory.ts'
import {checkTarget} from '../../src/driver/target.ts'
import {add, isRoot, scratch} from '../helpers/layers.ts'
import {readXattrs} from '../helpers/xattrs.ts'

const options = {force: false, onWarning: () => {}}

function fill(driver: DirectoryDriver): void {
  driver.changes.startLayer(driver.isMerge)
  add(driver.changes, {path: 'etc/motd'}, 'hello')
}

test('the directory appears with commit, and nothing else is left', (t) => {
  const parent = scratch(t)
  const target = path.join(parent, 'rootfs')
  const driver = new DirectoryDriver(target, options)
  fill(driver)
  t.false(fs.existsSync(target))
  driver.commit({sync: true})
  driver.abort()
  t.deepEqual(fs.readdirSync(parent), ['rootfs'])
  t.is(fs.readFileSync(path.join(target, 'etc/motd'), 'utf8'), 'hello')
  t.is(fs.statSync(target).mode & 0o7777, 0o755)
})

test('nothing is left after abort, however deep', (t) => {
  const parent = scratch(t)
  const driver = new DirectoryDriver(path.join(parent, 'rootfs'), options)
  driver.changes.startLayer(false)
  add(driver.changes, {path: `${'d/'.repeat(300)}f`}, 'x')
  add(driver.changes, {path: 'locked', kind: 'directory', mode: 0})
  driver.abort()
  driver.abort()
  t.deepEqual(fs.readdirSync(parent), [])
})

test('while it is made nobody else can look inside', (t) => {
  const parent = scratch(t)
  fs.chmodSync(parent, 0o2777)
  const driver = new DirectoryDriver(path.join(parent, 'rootfs'), options)
  const [staging] = fs.readdirSync(parent)
  t.is(fs.statSync(path.join(parent, staging!)).mode & 0o7777, 0o700)
  driver.abort()
})

test('an empty directory is taken, one with something in it is refused', (t) => {
  const parent = scratch(t)
  const target = path.join(parent, 'rootfs')
  fs.mkdirSync(target)
  t.is(checkTarget(target, options), 'empty')
  const driver = new DirectoryDriver(target, options)
  fill(driver)
  driver.commit({sync: false})
  t.throws(() => checkTarget(target, options), {code: 'TARGET_EXISTS'})
  t.throws(() => new DirectoryDriver(target, options), {code: 'TARGET_EXISTS'})
  t.deepEqual(fs.readdirSync(parent), ['rootfs'])
})

test('force unpacks over what is there, and keeps the rest', (t) => {
  const parent = scratch(t)
  const target = path.join(parent, 'rootfs')
  fs.mkdirSync(path.join(target, 'etc'), {recursive: true})
  fs.writeFileSync(path.join(target, 'etc/motd'), 'old')
  fs.writeFileSync(path.join(target, 'mine'), 'mine')
  fs.mkdirSync(path.join(parent, 'outside'))
  fs.symlinkSync('../outside', path.join(target, 'pre'))
  const driver = new DirectoryDriver(target, {...options, force: true})
  fill(driver)
  add(driver.changes, {path: 'pre/file'}, 'x')
  t.is(fs.readFileSync(path.join(target, 'etc/motd'), 'utf8'), 'old')
  driver.commit({sync: false})
  t.is(fs.readFileSync(path.join(target, 'etc/motd'), 'utf8'), 'hello')
  t.is(fs.readFileSync(path.join(target, 'mine'), 'utf8'), 'mine')
  t.deepEqual(fs.readdirSync(path.join(parent, 'outside')), [])
  t.deepEqual(fs.readdirSync(parent).sort(), ['outside', 'rootfs'])
})

test('a run that fails over an existing directory leaves it as it was', (t) => {
  const parent = scratch(t)
  const target = path.join(parent, 'rootfs')
  fs.mkdirSync(target)
  fs.writeFileSync(path.join(target, 'mine'), 'mine')
  const driver = new DirectoryDriver(target, {...options, force: true})
  fill(driver)
  driver.abort()
  t.deepEqual(fs.readdirSync(target), ['mine'])
  t.deepEqual(fs.readdirSync(parent), ['rootfs'])
})

test('what somebody makes meanwhile is not overwritten', (t) => {
  const parent = scratch(t)
  const target = path.join(parent, 'rootfs')
  const driver = new DirectoryDriver(target, options)
  fill(driver)
  fs.mkdirSync(target)
  fs.writeFileSync(path.join(target, 'mine'), 'mine')
  t.throws(() => driver.commit({sync: false}), {code: 'TARGET_EXISTS'})
  driver.abort()
  t.deepEqual(fs.readdirSync(target), ['mine'])
  t.deepEqual(fs.readdirSync(parent), ['rootfs'])
})

test('symlinks, files and missing parents are no targets', (t) => {
  const parent = scratch(t)
  fs.mkdirSync(path.join(parent, 'real'))
  fs.symlinkSync('real', path.join(parent, 'link'))
  fs.writeFileSync(path.join(parent, 'file'), '')
  for (const name of ['link', 'file', 'missing/rootfs', 'file/rootfs']) {
    t.throws(() => checkTarget(path.join(parent, name), options), {code: 'TARGET_INVALID'}, name)
  }
  t.throws(() => checkTarget('/', options), {code: 'TARGET_INVALID'})
  t.throws(() => checkTarget('', options), {code: 'TARGET_INVALID'})
  t.is(checkTarget(path.join(parent, 'link/'), options), 'empty')
})

test('the working directory, and what is above it, are no targets', (t) => {
  const before = process.cwd()
  const parent = scratch(t)
  fs.mkdirSync(path.join(parent, 'a/b'), {recursive: true})
  t.teardown(() => process.chdir(before))
  process.chdir(path.join(parent, 'a/b'))
  for (const target of ['.', '..', path.join(parent, 'a')])
    t.throws(() => checkTarget(target, options), {code: 'TARGET_INVALID'}, target)
  t.is(checkTarget('c', options), 'absent')
})

test('what a killed run left goes, what a living one makes stays', (t) => {
  const parent = scratch(t)
  const living = new DirectoryDriver(path.join(parent, 'rootfs'), options)
  fill(living)
  const left = path.join(parent, 'rootfs.imgtool-0123456789ab')
  fs.mkdirSync(path.join(left, 'half'), {recursive: true})
  fs.mkdirSync(path.join(parent, 'other.imgtool-0123456789ab'))
  fs.mkdirSync(path.join(parent, 'rootfs.imgtool-mine'))
  const second = new DirectoryDriver(path.join(parent, 'rootfs'), options)
  t.false(fs.existsSync(left))
  t.true(fs.existsSync(path.join(parent, 'other.imgtool-0123456789ab')))
  t.true(fs.existsSync(path.join(parent, 'rootfs.imgtool-mine')))
  living.commit({sync: false})
  fill(second)
  t.throws(() => second.commit({sync: false}), {code: 'TARGET_EXISTS'})
  second.abort()
  t.is(fs.readFileSync(path.join(parent, 'rootfs/etc/motd'), 'utf8'), 'hello')
})

test('a group or an ACL of the parent does not reach the files', (t) => {
  const parent = scratch(t)
  fs.chmodSync(parent, 0o2755)
  try {
    execFileSync('setfacl', ['-d', '-m', 'u:12345:rwx', parent], {stdio: 'ignore'})
  } catch {
    t.log('without setfacl: only the group is tested')
  }
  if (isRoot) fs.chownSync(parent, 0, 4242)
  const target = path.join(parent, 'rootfs')
  const driver = new DirectoryDriver(target, options)
  fill(driver)
  driver.commit({sync: false})
  t.is(fs.statSync(path.join(target, 'etc/motd')).gid, process.getgid!())
  t.is(fs.statSync(path.join(target, 'etc')).mode & 0o7777, 0o755)
  t.is(fs.statSync(path.join(target, 'etc/motd')).mode & 0o7777, 0o644)
})

test('a copy of the target is hidden while it is merged into, and has its mode in the end', (t) => {
  const parent = scratch(t)
  const target = path.join(parent, 'rootfs')
  fs.mkdirSync(path.join(target, 'mine'), {recursive: true})
  fs.chmodSync(target, 0o1775)
  const driver = new DirectoryDriver(target, {...options, force: true})
  const [staging] = fs.readdirSync(parent).filter((name) => name !== 'rootfs')
  t.is(fs.statSync(path.join(parent, staging!)).mode & 0o7777, 0o700)
  fill(driver)
  t.is(fs.statSync(path.join(parent, staging!)).mode & 0o7777, 0o700)
  driver.commit({sync: false})
  t.is(fs.statSync(target).mode & 0o7777, 0o1775)
  t.deepEqual(fs.readdirSync(target).sort(), ['etc', 'mine'])
})

test('a group or an ACL of a directory that is merged into does not reach new files', (t) => {
  const target = path.join(scratch(t), 'rootfs')
  const shared = path.join(target, 'shared')
  fs.mkdirSync(shared, {recursive: true})
  if (isRoot) fs.chownSync(shared, 0, 4242)
  fs.chmodSync(shared, 0o2755)
  try {
    execFileSync('setfacl', ['-d', '-m', 'u:12345:rwx,o::-', shared], {stdio: 'ignore'})
  } catch {
    t.log('without setfacl: only the group is tested')
  }
  fs.utimesSync(shared, 1, 1_000_000_000)
  const before = readXattrs(shared)
  const driver = new DirectoryDriver(target, {...options, force: true})
  driver.changes.startLayer(true)
  add(driver.changes, {path: 'shared/f'}, 'x')
  add(driver.changes, {path: 'shared/p', kind: 'fifo', mode: 0o644})
  add(driver.changes, {path: 'shared/d', kind: 'directory'})
  add(driver.changes, {path: 'shared/implied/f'}, 'x')
  driver.commit({sync: false})
  for (const [name, mode] of Object.entries({f: 0o644, p: 0o644, d: 0o755, implied: 0o755, 'implied/f': 0o644})) {
    const stats = fs.statSync(path.join(shared, name))
    t.is(stats.mode & 0o7777, mode, name)
    if (isRoot) t.is(stats.gid, 0, name)
    const left = Object.keys(readXattrs(path.join(shared, name))).filter((xattr) => xattr.startsWith('system.'))
    t.deepEqual(left, [], name)
  }
  t.is(fs.statSync(shared).mode & 0o7777, 0o2755)
  t.is(fs.statSync(shared).mtimeMs, 1_000_000_000_000)
  t.deepEqual(readXattrs(shared), before)
})

const rootTest = isRoot ? test : test.skip

rootTest('a directory that cannot be exchanged is refused before it is copied', (t) => {
  const base = scratch(t)
  const at = (name: string) => path.join(base, name)
  for (const name of ['lower', 'upper', 'work', 'merged']) fs.mkdirSync(at(name))
  // Its layers must not lie on another overlay.
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', base], {stdio: 'ignore'})
    t.teardown(() => execFileSync('umount', ['-R', '-l', base]))
    for (const name of ['lower/rootfs/old', 'upper', 'work', 'merged']) fs.mkdirSync(at(name), {recursive: true})
    const layers = `redirect_dir=off,lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')}`
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', layers, at('merged')], {stdio: 'ignore'})
  } catch {
    t.log('no overlay can be mounted here')
    t.pass()
    return
  }
  const create = () => new DirectoryDriver(at('merged/rootfs'), {...options, force: true})
  t.throws(create, {code: 'TARGET_INVALID', message: /EXDEV/})
  t.deepEqual(fs.readdirSync(at('merged')), ['rootfs'])
  t.deepEqual(fs.readdirSync(at('merged/rootfs')), ['old'])
})
