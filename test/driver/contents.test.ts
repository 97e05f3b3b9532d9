/** What drivers say of a layer that lies on another: the same, however they keep it. */
import {chownSync, closeSync, mkdirSync, openSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {AufsDriver} from '../../src/driver/aufs.ts'
import type {Driver} from '../../src/driver/driver.ts'
import {Overlay2Driver} from '../../src/driver/overlay2.ts'
import {VfsDriver} from '../../src/driver/vfs.ts'
import {ChangeDecoder, type ChangeSink} from '../../src/layer/change.ts'
import {TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits} from '../../src/limits.ts'
import * as os from '../../src/os/libc.ts'
import {readEntries} from '../helpers/entries.ts'
import {add, isRoot, scratch} from '../helpers/layers.ts'
import {nobody, withoutRoot} from '../helpers/without-root.ts'

const drivers = [
  ['aufs', AufsDriver, test],
  ['overlay2', Overlay2Driver, isRoot ? test : test.skip],
  ['vfs', VfsDriver, test],
] as const

const [base, top, third] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string]
const later = {seconds: 1_500_000_000, nanoseconds: 0}
const cut = {seconds: 1_400_000_000, nanoseconds: 0}

function fillBase(sink: ChangeSink): void {
  for (const path of ['same', 'd', 'd/e', 'emptied', 'replaced', 'gone']) add(sink, {path, kind: 'directory'})
  const files = [
    'same/x',
    'd/e/time',
    'd/e/cut',
    'd/size',
    'd/mode',
    'emptied/x',
    'replaced/x',
    'gone/x',
    'becomes',
    'l',
  ]
  for (const path of files) add(sink, {path}, path)
}

function fillTop(sink: ChangeSink): void {
  add(sink, {path: 'd/e/time', mtime: later}, 'd/e/time')
  add(sink, {path: 'd/e/cut', mtime: cut}, 'd/e/cut')
  add(sink, {path: 'd/size'}, 'another size')
  add(sink, {path: 'd/mode', mode: 0o600}, 'd/mode')
  add(sink, {path: 'same/x'}, 'same/x')
  sink.opaque('emptied')
  add(sink, {path: 'emptied', kind: 'directory'})
  add(sink, {path: 'replaced'}, 'a file')
  add(sink, {path: 'becomes', kind: 'directory', mtime: later})
  add(sink, {path: 'becomes/new', mtime: later}, 'new')
  sink.remove('gone')
  sink.remove('nothing')
  add(sink, {path: 'm', kind: 'hardlink', link: 'becomes/new', mtime: later})
}

for (const [name, Store, driverTest] of drivers) {
  driverTest(`${name} lists what a layer changes as docker does, and gives it out again`, async (t) => {
    const driver = open(t, (store) => new Store(store))
    fill(driver, base, undefined, fillBase)
    fill(driver, top, base, fillTop)
    const {contents} = driver
    t.deepEqual(
      contents.changes(top, base).map(({kind, path}) => `${kind} ${path}`),
      [
        ...['changed becomes', 'added becomes/new', 'changed d', 'changed d/e', 'changed d/e/time'],
        ...['changed d/mode', 'changed d/size', 'changed emptied', 'deleted emptied/x', 'deleted gone'],
        ...['added m', 'changed replaced'],
      ],
    )
    const all = contents.changes(base, undefined)
    t.is(all.length, 16)
    t.true(all.every(({kind}) => kind === 'added'))
    fill(driver, third, top, () => {})
    t.deepEqual(contents.changes(third, top), [])
    t.is(contents.diffSize(third, top), 0)
  })

  driverTest(`${name} gives out a layer that makes the same of the one below`, async (t) => {
    const driver = open(t, (store) => new Store(store))
    fill(driver, base, undefined, fillBase)
    fill(driver, top, base, fillTop)
    const {contents} = driver
    const layer = await bytesOf(contents.diff(top, base))
    const given = readEntries(layer)
    const described = given.map(({entry, content}) => `${entry.path} ${content || entry.link}`.trimEnd())
    const expected = ['.wh.gone', 'becomes', 'becomes/new new', 'd/mode d/mode', 'd/size another size', 'm becomes/new']
    for (const line of [...expected, 'd/e/time d/e/time', 'replaced a file']) t.true(described.includes(line), line)
    const deletions = described.filter((line) => line.startsWith('emptied/'))
    t.deepEqual(deletions, name === 'vfs' ? ['emptied/.wh.x'] : ['emptied/.wh..wh..opq'])
    const sizes = given.reduce((sum, {entry}) => sum + entry.size, 0)
    t.is(contents.diffSize(top, base), sizes)
    fill(driver, third, base, (sink) => replay(layer, sink))
    t.deepEqual(contents.changes(third, base), contents.changes(top, base))
  })

  driverTest(`${name} refuses places that are not there, and a parent that is none`, (t) => {
    const driver = open(t, (store) => new Store(store))
    fill(driver, base, undefined, fillBase)
    t.throws(() => driver.contents.changes(top, base), {message: /aaaa|bbbb/, code: 'STORE_INVALID'})
    t.throws(() => driver.contents.changes(base, third), {message: /cccc/, code: 'STORE_INVALID'})
  })
}

const rootTest = isRoot ? test : test.skip

rootTest('aufs tells what fuse-overlayfs has deleted in a place', async (t) => {
  const store = scratch(t)
  const driver = open(t, () => new AufsDriver(store))
  fill(driver, base, undefined, fillBase)
  fill(driver, top, base, (sink) => add(sink, {path: 'd', kind: 'directory'}))
  const place = openSync(join(store, 'aufs/diff', top), 'r')
  for (const path of ['gone', 'd/size', '.wh.becomes', 'becomes', 'nothing'])
    t.is(os.makeNodeAt(place, path, os.S_IFCHR, 0, 0), 0)
  closeSync(place)
  const listed = driver.contents.changes(top, base).map(({kind, path}) => `${kind} ${path}`)
  t.deepEqual(listed, ['deleted becomes', 'changed d', 'deleted d/size', 'deleted gone'])
  const names = readEntries(await bytesOf(driver.contents.diff(top, base))).map(({entry}) => entry.path)
  t.deepEqual(names, ['', '.wh.becomes', '.wh.gone', 'd', 'd/.wh.size'])
})

rootTest('a device 0:0 is refused by whatever would take it for a deletion', (t) => {
  const readers = [
    [AufsDriver, /which is a deletion to fuse-overlayfs$/],
    [Overlay2Driver, /which is a deletion to overlay$/],
  ] as const
  for (const [Store, message] of readers) {
    const driver = open(t, (store) => new Store(store))
    const addDevice = (sink: ChangeSink) => add(sink, {path: 'zero', kind: 'character', deviceMajor: 0, deviceMinor: 0})
    t.throws(() => fill(driver, base, undefined, addDevice), {code: 'WHITEOUT_INVALID', message})
  }
})

rootTest('overlay2 refuses to list a directory that overlay has renamed: what it holds is elsewhere', (t) => {
  const store = scratch(t)
  const driver = open(t, () => new Overlay2Driver(store))
  fill(driver, base, undefined, fillBase)
  fill(driver, top, base, (sink) => add(sink, {path: 'moved', kind: 'directory'}))
  const moved = openSync(join(store, 'overlay2', top, 'diff/moved'), 'r')
  t.is(os.setXattr(moved, 'trusted.overlay.redirect', 'd'), 0)
  closeSync(moved)
  t.throws(() => driver.contents.changes(top, base), {code: 'ENTRY_INVALID', message: /"moved".*elsewhere/})
})

rootTest('overlay2 refuses to build on what a user namespace has made: its deletions would be seen', (t) => {
  const store = scratch(t)
  const driver = open(t, () => new Overlay2Driver(store))
  fill(driver, base, undefined, fillBase)
  driver.release(base)
  chownSync(join(store, 'overlay2', base), 1000, 1000)
  t.throws(() => driver.create(top, base), {code: 'STORE_INVALID', message: /user 1000/})
  t.throws(() => driver.mount(base, scratch(t)), {code: 'STORE_INVALID'})
  t.throws(() => driver.get(base, {isWritable: false}), {code: 'STORE_INVALID'})
  t.is(driver.contents.changes(base, undefined).length, 16)
})

test('a device that cannot be made has replaced what was there all the same', (t) => {
  const store = scratch(t)
  if (isRoot) chownSync(store, nobody, nobody)
  withoutRoot(() => {
    for (const isAlone of [false, true]) {
      const driver = open(t, () => new AufsDriver(store))
      const [below, above] = (isAlone ? ['1', '2'] : ['3', '4']).map((digit) => digit.repeat(64)) as [string, string]
      fill(driver, below, undefined, (sink) => {
        for (const path of ['file', 'd/file', 'other']) add(sink, {path})
      })
      const addDevices = (sink: ChangeSink) => {
        for (const path of ['file', 'd'])
          add(sink, {path, kind: 'character', mode: 0o666, deviceMajor: 1, deviceMinor: 3})
        add(sink, {path: 'other', kind: 'hardlink', link: 'd'})
      }
      fill(driver, above, below, addDevices, isAlone)
      const changes = driver.contents.changes(above, below).map(({kind, path}) => `${kind} ${path}`)
      t.deepEqual(changes, ['deleted d', 'deleted file', 'deleted other'])
    }
  })
})

test('a tree that is deeper than any layer can have it is refused, and nobody runs out of stack', async (t) => {
  const driver = open(t, (store) => new VfsDriver(store))
  fill(driver, base, undefined, () => {})
  fill(driver, top, base, (sink) => add(sink, {path: 'd/'.repeat(4100).concat('f')}, 'deep'))
  t.throws(() => driver.contents.changes(top, base), {code: 'LIMIT_EXCEEDED'})
  t.throws(() => driver.contents.diffSize(top, base), {code: 'LIMIT_EXCEEDED'})
  await t.throwsAsync(bytesOf(driver.contents.diff(top, base)), {code: 'LIMIT_EXCEEDED'})
})

function open(t: ExecutionContext, make: (store: string) => Driver): Driver {
  const store = join(scratch(t), 'store')
  mkdirSync(store)
  const driver = make(store)
  t.teardown(() => driver[Symbol.dispose]())
  return driver
}

function fill(
  driver: Driver,
  id: string,
  parent: string | undefined,
  write: (sink: ChangeSink) => void,
  isAlone = false,
): void {
  driver.create(id, parent)
  const target = driver.applyDiff(id, {onWarning: () => {}, isAlone})
  try {
    write(target.changes)
    target.finish()
  } finally {
    target.close()
  }
}

async function bytesOf(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const piece of pieces) chunks.push(Buffer.from(piece))
  return Buffer.concat(chunks)
}

function replay(layer: Buffer, sink: ChangeSink): void {
  const decoder = new ChangeDecoder(sink, () => {})
  const parser = new TarParser(decoder, defaultLimits)
  parser.write(layer)
  parser.finish()
  decoder.finish()
}
