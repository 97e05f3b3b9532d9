import fs from 'node:fs'
import path from 'node:path'
import test, {type ExecutionContext} from 'ava'
import type {DriverName} from '../src/driver/driver.ts'
import {resolveV1} from '../src/ids.ts'
import type {Warning} from '../src/layer/change.ts'
import {openSource, selectImages} from '../src/open.ts'
import {unpackImage} from '../src/unpack.ts'
import {type UnpackStoreOptions, unpackIntoStore} from '../src/unpack-store.ts'
import {isRoot, scratch} from './helpers/layers.ts'
import {imageOfTars} from './helpers/memory-layers.ts'
import {directory, file, symlink, tar} from './helpers/tar.ts'

const fixture = (name: string) => path.join(import.meta.dirname, '../fixtures', name)

/** Without privileges deletions of overlay are made where the kernel permits it only. */
const drivers: readonly DriverName[] = isRoot ? ['overlay2', 'vfs', 'aufs'] : ['vfs', 'aufs']

async function fill(archive: string, store: string, driver: DriverName, options: UnpackStoreOptions = {}) {
  await using source = await openSource(archive)
  return await unpackIntoStore({source, images: selectImages(source)}, store, driver, options)
}

/** What a store's images are, read back: names and diffIDs, base first. */
async function readBack(store: string) {
  await using source = await openSource(`docker-root:${store}`)
  return selectImages(source).map(({imageID: id, names, layers}) => ({
    id,
    names: names.toSorted(),
    diffIDs: layers.map(({diffID}) => diffID),
  }))
}

/** Directories of layers, wherever a driver has them. */
function placesOf(store: string, driver: DriverName): string[] {
  const home = path.join(store, {overlay2: 'overlay2', vfs: 'vfs/dir', aufs: 'aufs/diff'}[driver])
  return fs.readdirSync(home).filter((name) => /^[0-9a-f]{64}$/.test(name))
}

function requireClean(t: ExecutionContext, store: string, driver: DriverName): void {
  const layers = path.join(store, 'image', driver, 'layerdb')
  const ids = fs.readdirSync(path.join(layers, 'sha256'))
  const used = ids.map((id) => fs.readFileSync(path.join(layers, 'sha256', id, 'cache-id'), 'latin1'))
  t.deepEqual(placesOf(store, driver).sort(), used.sort())
  t.deepEqual(fs.readdirSync(path.join(layers, 'tmp')), [])
  t.deepEqual(fs.readdirSync(path.join(store, 'tmp')), [])
}

for (const driver of drivers) {
  test(`${driver}: images and layers are read back as they were`, async (t) => {
    const store = path.join(scratch(t), 'store')
    const archive = fixture('docker-20.10-several.tar')
    const result = await fill(archive, store, driver)
    await using source = await openSource(archive)
    const images = selectImages(source)
    t.is(result.images.length, images.length)
    const expected = images.map(({imageID: id, names, layers}) => ({
      id,
      names: names.toSorted(),
      diffIDs: layers.map(({diffID}) => diffID),
    }))
    const byID = (list: typeof expected) => list.toSorted((one, other) => (one.id! < other.id! ? -1 : 1))
    t.deepEqual(byID(await readBack(store)), byID(expected))
    requireClean(t, store, driver)
  })

  test(`${driver}: what is there is left as it is`, async (t) => {
    const store = path.join(scratch(t), 'store')
    const first = await fill(fixture('docker-20.10-one.tar'), store, driver)
    const before = placesOf(store, driver)
    const again = await fill(fixture('docker-20.10-one.tar'), store, driver)
    t.deepEqual([again.added, again.shared, again.entries], [0, first.added, 0])
    t.deepEqual(placesOf(store, driver), before)
    t.deepEqual(again.images, first.images)
  })

  test(`${driver}: images from before docker 1.10 share layers and get their image IDs`, async (t) => {
    const store = path.join(scratch(t), 'store')
    const result = await fill(fixture('docker-1.7-several.tar'), store, driver)
    await using source = await openSource(fixture('docker-1.7-several.tar'))
    const configs = await resolveV1(source.set)
    const ids = selectImages(source).map(({v1ID}) => configs.get(v1ID!)!.imageID)
    t.deepEqual(result.images.map((image) => image.imageID).sort(), ids.sort())
    t.is(placesOf(store, driver).length, result.added)
  })

  test(`${driver}: a layer that is refused leaves nothing`, async (t) => {
    const parent = scratch(t)
    const store = path.join(parent, 'store')
    const archive = path.join(parent, 'damaged.tar')
    const bytes = fs.readFileSync(fixture('docker-20.10-one.tar'))
    const at = bytes.indexOf('#!/bin/sh') === -1 ? bytes.length >> 1 : bytes.indexOf('#!/bin/sh')
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    fs.writeFileSync(archive, bytes)
    const failure = async () => {
      const error = await t.throwsAsync(fill(archive, store, driver))
      t.regex((error as {code?: string}).code ?? '', /DIGEST_MISMATCH|TAR_INVALID/)
    }
    await failure()
    t.false(fs.existsSync(store))
    fs.mkdirSync(store)
    await failure()
    t.deepEqual(fs.readdirSync(store), [])
    await fill(fixture('docker-20.10-shell.tar.xz'), store, driver)
    const before = fs.readdirSync(store, {recursive: true}).toSorted()
    await failure()
    t.deepEqual(fs.readdirSync(store, {recursive: true}).toSorted(), before)
    requireClean(t, store, driver)
    await fill(fixture('docker-20.10-one.tar'), store, driver)
    t.is((await readBack(store)).length, 2)
  })

  test(`${driver}: what a killed run left is removed by the next one`, async (t) => {
    const store = path.join(scratch(t), 'store')
    await fill(fixture('docker-20.10-one.tar'), store, driver)
    const home = path.dirname(path.join(store, {overlay2: 'overlay2/x', vfs: 'vfs/dir/x', aufs: 'aufs/diff/x'}[driver]))
    fs.mkdirSync(path.join(home, 'f'.repeat(64)))
    fs.mkdirSync(path.join(store, 'tmp/imgtool-0123456789ab'))
    fs.mkdirSync(path.join(store, 'image', driver, 'layerdb/tmp/imgtool-0123456789ab'))
    await fill(fixture('docker-1.9-by-id.tar'), store, driver)
    requireClean(t, store, driver)
  })

  test(`${driver}: two runs at a time make each layer once`, async (t) => {
    const store = path.join(scratch(t), 'store')
    const names = ['docker-20.10-one.tar', 'docker-20.10-several.tar', 'docker-20.10-one.tar']
    const results = await Promise.all(names.map((name) => fill(fixture(name), store, driver)))
    t.is(results.length, 3)
    requireClean(t, store, driver)
  })
}

test('names move from one image to another', async (t) => {
  const store = path.join(scratch(t), 'store')
  const one = await fill(fixture('docker-20.10-one.tar'), store, 'vfs', {names: ['moved:1', 'kept:1']})
  const other = await fill(fixture('docker-1.9-by-id.tar'), store, 'vfs', {names: ['moved:1']})
  const found = new Map((await readBack(store)).map(({id, names}) => [id, names]))
  t.deepEqual(found.get(one.images[0]!.imageID), ['kept:1'])
  t.deepEqual(found.get(other.images[0]!.imageID), ['moved:1'])
})

test('names are written as docker looks for them, whatever was typed', async (t) => {
  const store = path.join(scratch(t), 'store')
  const typed = [
    'docker.io/library/foo:1',
    'foo:1',
    'index.docker.io/library/foo:2',
    'docker.io/me/app:1',
    'library/li',
    'quay.io/library/app:1',
  ]
  const {images} = await fill(fixture('docker-20.10-one.tar'), store, 'vfs', {names: typed})
  const names = ['foo:1', 'foo:2', 'me/app:1', 'li:latest', 'quay.io/library/app:1']
  t.deepEqual(images[0]!.names, names)
  const {Repositories} = JSON.parse(fs.readFileSync(path.join(store, 'image/vfs/repositories.json'), 'utf8'))
  const {imageID} = images[0]!
  t.deepEqual(Repositories, {
    foo: {'foo:1': imageID, 'foo:2': imageID},
    li: {'li:latest': imageID},
    'me/app': {'me/app:1': imageID},
    'quay.io/library/app': {'quay.io/library/app:1': imageID},
  })
})

/** Keeps warnings but those of what only root can unpack. */
function keepOfStore(warnings: Warning[]): (warning: Warning) => void {
  const ofOthers = ['XATTR_DROPPED', 'DEVICE_SKIPPED', 'OWNER_LOST']
  return (warning) => {
    if (!ofOthers.includes(warning.code)) warnings.push(warning)
  }
}

test('a name that another image had is said to be taken, as docker load does', async (t) => {
  const store = path.join(scratch(t), 'store')
  const warnings: Warning[] = []
  const options = {names: ['moved:1'], onWarning: keepOfStore(warnings)}
  const {images} = await fill(fixture('docker-20.10-one.tar'), store, 'vfs', options)
  await fill(fixture('docker-20.10-one.tar'), store, 'vfs', options)
  t.deepEqual(warnings, [])
  await fill(fixture('docker-1.9-by-id.tar'), store, 'vfs', options)
  const message = `The name "moved:1" was taken from image ${images[0]!.imageID.slice(7, 19)}`
  t.deepEqual(warnings, [{code: 'NAME_TAKEN', message}])
})

test('only what could be a data-root becomes one, and nothing is mixed with what is there', async (t) => {
  const folder = scratch(t)
  const store = path.join(folder, 'docker')
  await fill(fixture('docker-20.10-one.tar'), store, 'vfs')
  const project = path.join(folder, 'project')
  fs.mkdirSync(path.join(project, 'src'), {recursive: true})
  fs.writeFileSync(path.join(project, 'afile'), '')
  fs.symlinkSync('nowhere', path.join(folder, 'dangling'))
  const refused = async (target: string, code: string, hint: string | undefined) => {
    const before = fs.readdirSync(folder, {recursive: true}).length
    const error = await t.throwsAsync(fill(fixture('docker-20.10-shell.tar.xz'), target, 'vfs'))
    t.like(error, {code, details: {hint}}, error?.message)
    t.is(fs.readdirSync(folder, {recursive: true}).length, before)
  }
  await refused(project, 'TARGET_EXISTS', 'Give a new directory, or the data-root of a docker')
  for (const name of ['image', 'image/vfs', 'vfs'])
    await refused(path.join(store, name), 'TARGET_EXISTS', `Give ${store}`)
  await refused(path.join(project, 'afile'), 'TARGET_INVALID', undefined)
  await refused(path.join(folder, 'dangling'), 'TARGET_INVALID', undefined)
  await refused(path.join(project, 'afile/below'), 'TARGET_INVALID', undefined)
  const below = path.join(project, 'with/parents')
  await refused(below, 'TARGET_INVALID', `Make it first: mkdir -p '${path.dirname(below)}'`)
  for (const names of [['engine-id'], ['lost+found', 'tmp', 'volumes'], ['repositories-aufs', 'graph']]) {
    const docker = fs.mkdtempSync(path.join(folder, 'docker-'))
    for (const name of names) fs.mkdirSync(path.join(docker, name))
    await fill(fixture('docker-20.10-one.tar'), docker, 'vfs')
    fs.writeFileSync(path.join(docker, "somebody's notes"), '')
    t.is((await fill(fixture('docker-20.10-one.tar'), docker, 'vfs')).added, 0)
  }
})

for (const [one, other, what] of [
  ['vfs', 'aufs', 'a daemon takes aufs, unless it has another --storage-driver'],
  ['aufs', 'vfs', 'a daemon takes aufs, unless it has another --storage-driver'],
  ['aufs', 'overlay2', 'no daemon starts on it without a choice by --storage-driver'],
] as const) {
  const run = drivers.includes(other) ? test : test.skip
  run(`a data-root of ${one} that gets images of ${other} is said to have two drivers, once`, async (t) => {
    const store = path.join(scratch(t), 'store')
    const warnings: Warning[] = []
    const onWarning = keepOfStore(warnings)
    for (const driver of [one, one, other, other, one])
      await fill(fixture('docker-20.10-one.tar'), store, driver, {onWarning})
    const messages = warnings.map(({message}) => message)
    t.deepEqual(messages, [`The data-root has images of ${one} as well as ${other} now: ${what}`])
  })
}

test('no root file system is unpacked over a data-root, whatever is forced', async (t) => {
  const store = path.join(scratch(t), 'store')
  await fill(fixture('docker-20.10-one.tar'), store, 'vfs')
  const before = fs.readdirSync(store).toSorted()
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  for (const force of [false, true]) {
    const error = await t.throwsAsync(unpackImage(selectImages(source)[0]!, store, {force}))
    const hint = 'Give --driver overlay, vfs or aufs to add the image to it, or another directory'
    t.like(error, {code: 'TARGET_EXISTS', details: {hint}})
  }
  t.deepEqual(fs.readdirSync(store).toSorted(), before)
})

/** A layer with a symlink, and one with a file below it. */
async function throughLink(t: ExecutionContext, options: UnpackStoreOptions): Promise<string[]> {
  const store = path.join(scratch(t), 'store')
  const image = imageOfTars(
    tar(directory('real', {mode: 0o755}), symlink('link', 'real')),
    tar(file('link/below', 'content')),
  )
  const names: string[] = []
  const onWarning = ({code}: {code: string}) => names.push(code)
  const source = {archive: undefined, set: {v1: new Map()}}
  await unpackIntoStore({source, images: [image]} as never, store, 'aufs', {...options, onWarning})
  const found = fs.globSync('aufs/diff/*/{real,link}/below', {cwd: store})
  return [...found.map((each) => path.relative('aufs/diff', each).replace(/^[0-9a-f]+/, '')), ...names]
}

test('what is below a symlink of a lower layer is where that leads, or where docker puts it', async (t) => {
  t.deepEqual(await throughLink(t, {}), ['/real/below', 'PATH_MOVED'])
  t.deepEqual(await throughLink(t, {asDockerd: true}), ['/link/below'])
})

for (const [driver, most] of [
  ['overlay2', 127],
  ['aufs', 125],
] as const) {
  test(`${driver}: more layers than docker mounts are refused before anything is written`, async (t) => {
    const store = scratch(t)
    const image = imageOfTars(...Array.from({length: most + 1}, (_, number) => tar(file('name', String(number)))))
    const source = {archive: undefined, set: {v1: new Map()}}
    const error = await t.throwsAsync(unpackIntoStore({source, images: [image]} as never, store, driver), {
      code: 'LIMIT_EXCEEDED',
    })
    t.is(error?.message, `Cannot stack ${most + 1} layers: docker mounts at most ${most} with ${driver}`)
    t.deepEqual(fs.readdirSync(store), [])
  })
}

test('a name for several platforms is one image in a data-root, and the refusal says so', async (t) => {
  const store = path.join(scratch(t), 'store')
  const error = await t.throwsAsync(fill(fixture('buildah-oci-platforms.tar'), store, 'vfs', {names: ['app:1']}))
  t.is(
    error?.message,
    'Cannot write "app:1" for linux/amd64 and linux/arm64/v8 to a data-root, which holds one image a name',
  )
  t.like(error, {code: 'IMAGE_UNSUITABLE', details: {hint: 'Choose one with --platform linux/amd64'}})
  t.false(fs.existsSync(store))
})
