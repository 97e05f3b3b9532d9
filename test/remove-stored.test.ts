import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {checkStore} from '../src/check-store.ts'
import type {Digest} from '../src/digest.ts'
import type {DriverName} from '../src/driver/driver.ts'
import {openDriver} from '../src/open-driver.ts'
import {removeStoredImage} from '../src/remove-stored.ts'
import {imageMetadataPath, metadataRoot} from '../src/store/layout.ts'
import {StoreWriter} from '../src/store/writer.ts'
import {listStore} from '../src/store-status.ts'
import {imgtool} from './helpers/cli.ts'
import {addToStore, driverNames, fillStore, storedLayers} from './helpers/store.ts'

const archive = 'docker-20.10-several.tar'

async function imageOf(store: string, name: string) {
  const images = await listStore(store)
  return images.find(({names}) => names.includes(name))!
}

async function requireSound(t: ExecutionContext, store: string): Promise<void> {
  const {findings} = await checkStore(store, {layers: true})
  t.deepEqual(findings, [])
}

for (const driver of driverNames) {
  test(`${driver}: an image goes with its last name, and its layers with the last image that has them`, async (t) => {
    const store = await fillStore(t, driver, archive)
    const {imageID} = await imageOf(store, 'shop/web:1.0')
    const first = await removeStoredImage(store, 'shop/web:1.0')
    t.deepEqual(first, {driver, names: ['shop/web:1.0'], images: [], layers: [], containers: [], layersStay: false})
    t.is((await imageOf(store, 'shop/web:latest')).imageID, imageID)
    const last = await removeStoredImage(store, 'docker.io/shop/web')
    t.deepEqual([last.names, last.images, last.layers.length], [['shop/web:latest'], [imageID], 5])
    t.is(storedLayers(store, driver).length, 3)
    await requireSound(t, store)
    for (const name of ['shop/base:2013', 'shop/db:1', 'shop/db:2']) await removeStoredImage(store, name)
    t.deepEqual([await listStore(store), storedLayers(store, driver)], [[], []])
    await requireSound(t, store)
    await addToStore(store, driver, archive)
    t.is((await listStore(store)).length, 4)
    await requireSound(t, store)
  })

  test(`${driver}: an image that others were built on stays`, async (t) => {
    const store = await fillStore(t, driver, archive)
    const {imageID} = await imageOf(store, 'shop/db:1')
    const child = await imageOf(store, 'shop/db:2')
    builtOn(store, driver, child.imageID, imageID)
    await t.throwsAsync(removeStoredImage(store, imageID), {code: 'IMAGE_USED', message: /built on it/})
    t.deepEqual((await removeStoredImage(store, 'shop/db:1')).images, [])
  })
}

function builtOn(store: string, driver: DriverName, child: Digest, parent: string): void {
  const directory = join(store, metadataRoot(driver), imageMetadataPath(child))
  mkdirSync(directory, {recursive: true})
  writeFileSync(join(directory, 'parent'), parent)
}

test('a container keeps the image that it was made of', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const image = await imageOf(store, 'shop/web:1.0')
  const top = storedLayers(store, 'vfs').find(({chainID}, _, all) => !all.some(({parent}) => parent === chainID))!
  const container = join(store, 'image/vfs/layerdb/mounts', 'ab'.repeat(32))
  mkdirSync(container, {recursive: true})
  writeFileSync(join(container, 'parent'), top.chainID)
  await t.throwsAsync(removeStoredImage(store, image.imageID), {code: 'IMAGE_USED', message: /container abababababab/})
  t.deepEqual((await removeStoredImage(store, 'shop/web:1.0')).names, ['shop/web:1.0'])
  await t.throwsAsync(removeStoredImage(store, 'shop/web'), {code: 'IMAGE_USED'})
  t.deepEqual((await imageOf(store, 'shop/web:latest')).names, ['shop/web:latest'])
})

for (const driver of driverNames) {
  test(`${driver}: a container that has lost what says where its files are can go`, async (t) => {
    const store = await fillStore(t, driver, archive)
    const id = 'ab'.repeat(32)
    const container = join(store, metadataRoot(driver), 'layerdb/mounts', id)
    for (const place of [undefined, '', '../../..']) {
      mkdirSync(container, {recursive: true})
      if (place !== undefined) writeFileSync(join(container, 'mount-id'), place)
      t.deepEqual((await removeStoredImage(store, id)).containers, [id], place)
      t.false(existsSync(container), place)
    }
    await requireSound(t, store)
  })
}

test('nameless images that only the removed one was built on go with it', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const [one, two] = [await imageOf(store, 'shop/db:1'), await imageOf(store, 'shop/db:2')]
  builtOn(store, 'vfs', two.imageID, one.imageID)
  await removeStoredImage(store, 'shop/db:1')
  const {images} = await removeStoredImage(store, 'shop/db:2')
  t.deepEqual(images, [two.imageID, one.imageID])
  await requireSound(t, store)
})

test('a name by digest goes with the last tag of its repository', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const path = join(store, 'image/vfs/repositories.json')
  const document = JSON.parse(readFileSync(path, 'utf8')) as {Repositories: Record<string, Record<string, string>>}
  const {imageID} = await imageOf(store, 'shop/base:2013')
  const digest = `shop/base@sha256:${'0'.repeat(64)}`
  document.Repositories['shop/base']![digest] = imageID
  writeFileSync(path, JSON.stringify(document))
  const {names, images} = await removeStoredImage(store, 'shop/base:2013')
  t.deepEqual([names.toSorted(), images], [['shop/base:2013', digest], [imageID]])
  t.false('shop/base' in JSON.parse(readFileSync(path, 'utf8')).Repositories)
})

test('layers stay while another run is at work, and go with the next repair', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  using driver = await openDriver('overlay2', store)
  const other = new StoreWriter(store, driver)
  const held = await other.lock()
  held[Symbol.dispose]()
  const {layers, layersStay} = await removeStoredImage(store, (await imageOf(store, 'shop/web:1.0')).imageID)
  t.deepEqual([layers, layersStay], [[], true])
  t.deepEqual((await checkStore(store, {repair: true})).repairs, [])
  other[Symbol.dispose]()
  t.is(
    (await checkStore(store, {repair: true})).repairs.filter((each) => each.startsWith('Removed the layer')).length,
    5,
  )
})

test('what is not there cannot be removed', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  for (const name of ['nothing', 'shop/web:2', '0'.repeat(12), 'sha256', '8a58'])
    await t.throwsAsync(removeStoredImage(store, name), {code: 'IMAGE_NOT_FOUND'}, name)
})

test.serial('store remove says what is gone', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const {imageID} = await imageOf(store, 'shop/db:2')
  const {error, stderr} = await imgtool('store:remove', store, 'shop/db:2')
  t.is(error, undefined)
  t.is(stderr, `Removed the name "shop/db:2", image ${imageID.slice(7, 19)}\n`)
  t.regex((await imgtool('store:remove', store, 'shop/db:2')).stderr, /^Error: Cannot find image "shop\/db:2"/)
})
