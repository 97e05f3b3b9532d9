/** Stores that somebody has made to do harm, or whose disk has. */
import {execFileSync} from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {dirname, join} from 'node:path'
import test from 'ava'
import {checkStore} from '../../src/check-store.ts'
import {Overlay2Driver} from '../../src/driver/overlay2.ts'
import {VfsDriver} from '../../src/driver/vfs.ts'
import {openSource} from '../../src/open.ts'
import {openDriver} from '../../src/open-driver.ts'
import * as os from '../../src/os/libc.ts'
import {removeStoredImage} from '../../src/remove-stored.ts'
import {StoreWriter} from '../../src/store/writer.ts'
import {unpackIntoStore} from '../../src/unpack-store.ts'
import {fixture} from '../helpers/fixtures.ts'
import {scratch} from '../helpers/image.ts'
import {addToStore, driverNames, fillStore, placePath, storedLayers} from '../helpers/store.ts'

const archive = 'docker-20.10-one.tar'
const another = 'docker-20.10-several.tar'

/** Every name below a directory, at any depth. */
const namesIn = (directory: string) => readdirSync(directory, {recursive: true}).toSorted()

const ownDirectories = {
  overlay2: ['overlay2', 'overlay2/l'],
  vfs: ['vfs', 'vfs/dir'],
  aufs: ['aufs', 'aufs/diff', 'aufs/layers', 'aufs/mnt'],
}
const metadata = ['', '/imagedb/content/sha256', '/layerdb', '/layerdb/sha256', '/layerdb/tmp']

for (const driver of driverNames) {
  test(`${driver}: a symlink in the place of a directory of the store leads no run to another store`, async (t) => {
    const victim = await fillStore(t, driver, archive)
    mkdirSync(join(victim, 'tmp'), {recursive: true})
    const before = namesIn(victim)
    const all = ['tmp', 'image', ...metadata.map((below) => `image/${driver}${below}`), ...ownDirectories[driver]]
    for (const name of all) {
      // Everything that the other store has would be a leftover of this one.
      const store = scratch(t)
      mkdirSync(join(store, 'image', driver), {recursive: true})
      rmSync(join(store, name), {recursive: true, force: true})
      mkdirSync(dirname(join(store, name)), {recursive: true})
      symlinkSync(join(victim, name), join(store, name))
      await t.throwsAsync(addToStore(store, driver, another), {code: 'STORE_INVALID'}, name)
      await checkStore(store, {driver, repair: true}).catch(() => {})
      t.deepEqual(namesIn(victim), before, name)
    }
  })

  test(`${driver}: what is no file is read by nobody, and keeps nobody waiting`, async (t) => {
    for (const name of ['cache-id', 'diff', 'repositories.json']) {
      const store = await fillStore(t, driver, archive)
      const [layer] = storedLayers(store, driver)
      const path = name.includes('.') ? join(store, 'image', driver, name) : join(layer!.path, name)
      rmSync(path)
      execFileSync('mkfifo', [path])
      await t.throwsAsync(addToStore(store, driver, another), undefined, name)
      await t.throwsAsync(removeStoredImage(store, '0123456789ab'), undefined, name)
      const {findings} = await checkStore(store)
      t.true(
        findings.some(({severity}) => severity === 'damage'),
        name,
      )
    }
  })
}

test('what docker keeps beside an image is written to no other place', async (t) => {
  const [store, outside] = [scratch(t), scratch(t)]
  await using source = await openSource(fixture('docker-1.7-several.tar'))
  const fill = () => unpackIntoStore({source, images: source.set.images}, store, 'vfs')
  await fill()
  const beside = join(store, 'image/vfs/imagedb/metadata/sha256')
  for (const name of readdirSync(beside)) {
    rmSync(join(beside, name), {recursive: true})
    symlinkSync(outside, join(beside, name))
  }
  await t.throwsAsync(fill(), {code: 'STORE_INVALID'})
  t.deepEqual(readdirSync(outside), [])
})

test('overlay2: a place whose files are elsewhere is not mounted', async (t) => {
  const [store, elsewhere] = [await fillStore(t, 'overlay2', archive), scratch(t)]
  const {cacheID} = storedLayers(store, 'overlay2').find(({parent}) => parent === undefined)!
  const diff = join(placePath(store, 'overlay2', cacheID), 'diff')
  renameSync(diff, join(elsewhere, 'diff'))
  symlinkSync(join(elsewhere, 'diff'), diff)
  using driver = new Overlay2Driver(store)
  t.throws(() => driver.mount(cacheID, scratch(t)), {code: 'STORE_INVALID'})
  const codes = new Set((await checkStore(store)).findings.map(({code}) => code))
  t.true(codes.has('PLACE_DAMAGED'))
})

for (const driver of driverNames) {
  test(`${driver}: a place that is not in the store is not mounted, and nothing is written to what it leads to`, async (t) => {
    const [store, elsewhere] = [await fillStore(t, driver, archive), scratch(t)]
    const {cacheID} = storedLayers(store, driver).find(({parent}) => parent !== undefined)!
    using places = await openDriver(driver, store)
    const requireRefused = (what: string) => {
      t.throws(() => places.mount(cacheID, scratch(t)), {code: 'STORE_INVALID'}, what)
      for (const isWritable of [false, true])
        t.throws(() => places.get(cacheID, {isWritable}), {code: 'STORE_INVALID'}, what)
    }
    renameSync(placePath(store, driver, cacheID), join(elsewhere, 'place'))
    requireRefused('nothing')
    symlinkSync(join(elsewhere, 'place'), placePath(store, driver, cacheID))
    requireRefused('a symlink')
  })
}

test('overlay2: nothing is written to what a directory of a place leads to', async (t) => {
  for (const name of ['diff', 'work', 'merged']) {
    const [store, elsewhere] = [await fillStore(t, 'overlay2', archive), scratch(t)]
    const {cacheID} = storedLayers(store, 'overlay2').find(({parent}) => parent !== undefined)!
    const path = join(placePath(store, 'overlay2', cacheID), name)
    rmSync(path, {recursive: true, force: true})
    symlinkSync(elsewhere, path)
    using driver = new Overlay2Driver(store)
    t.throws(() => driver.get(cacheID, {isWritable: true}), {code: 'STORE_INVALID'}, name)
    t.deepEqual(readdirSync(elsewhere), [], name)
    rmSync(path)
    writeFileSync(path, '')
    t.throws(() => driver.get(cacheID, {isWritable: true}), {code: 'STORE_INVALID'}, name)
  }
})

test('overlay2: what is no file in a place is found, and can go', async (t) => {
  const kinds = {
    fifo: (path: string) => execFileSync('mkfifo', [path]),
    directory: (path: string) => mkdirSync(path),
    symlink: (path: string) => symlinkSync('/etc/passwd', path),
    large: (path: string) => writeFileSync(path, Buffer.alloc(2 ** 21, 'A')),
  }
  for (const [kind, make] of Object.entries(kinds)) {
    for (const name of ['link', 'lower']) {
      const store = await fillStore(t, 'overlay2', archive)
      const {cacheID} = storedLayers(store, 'overlay2').find(({parent}) => parent !== undefined)!
      const path = join(placePath(store, 'overlay2', cacheID), name)
      rmSync(path)
      make(path)
      const {findings} = await checkStore(store)
      t.true(
        findings.some(({code}) => code === 'PLACE_DAMAGED'),
        `${kind} ${name}`,
      )
      await checkStore(store, {repair: true})
      const after = await checkStore(store)
      t.deepEqual(after.findings, [], `${kind} ${name}`)
    }
  }
})

test('overlay2: a list of layers that is one long name is refused in a short line', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  const {cacheID} = storedLayers(store, 'overlay2').find(({parent}) => parent !== undefined)!
  writeFileSync(join(placePath(store, 'overlay2', cacheID), 'lower'), 'A'.repeat(2 ** 19))
  using driver = new Overlay2Driver(store)
  const [fault = ''] = driver.faults(cacheID)
  t.regex(fault, /its layer "A{64}" is missing$/)
})

test('overlay2: a mark that is no file keeps nobody waiting', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  for (const {cacheID} of storedLayers(store, 'overlay2')) {
    const mark = join(placePath(store, 'overlay2', cacheID), 'committed')
    rmSync(mark, {force: true})
    execFileSync('mkfifo', [mark])
  }
  using driver = new Overlay2Driver(store)
  const {cacheID} = storedLayers(store, 'overlay2')[0]!
  const child = 'a'.repeat(64)
  driver.create(child, cacheID)
  t.is(driver.parents(child)[0], cacheID)
})

for (const driver of driverNames) {
  test(`${driver}: no place goes as a leftover while something has lost what says which one is its own`, async (t) => {
    const store = await fillStore(t, driver, archive)
    const layers = storedLayers(store, driver)
    const container = join(store, 'image', driver, 'layerdb/mounts', 'ab'.repeat(32))
    mkdirSync(container, {recursive: true})
    for (const file of [join(layers[0]!.path, 'cache-id'), join(container, 'mount-id')]) {
      const before = existsSync(file) ? readFileSync(file) : 'a'.repeat(64)
      // As after a crash that came before the disk had the content.
      writeFileSync(file, '')
      await addToStore(store, driver, another)
      for (const {cacheID} of layers) t.true(existsSync(placePath(store, driver, cacheID)))
      writeFileSync(file, before)
    }
    rmSync(container, {recursive: true})
    await addToStore(store, driver, archive)
    t.deepEqual(
      (await checkStore(store)).findings.filter(({code}) => code !== 'LAYER_UNUSED'),
      [],
    )
  })
}

test('a daemon that was started meanwhile ends what changes the store', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  using driver = new VfsDriver(store)
  using writer = new StoreWriter(store, driver)
  const before = await writer.lock()
  before[Symbol.dispose]()
  mkdirSync(join(store, 'volumes'))
  const file = openSync(join(store, 'volumes/metadata.db'), 'w')
  t.is(os.lock(file), 0)
  await t.throwsAsync(writer.lock(), {code: 'STORE_IN_USE'})
  closeSync(file)
  const after = await writer.lock()
  after[Symbol.dispose]()
})
