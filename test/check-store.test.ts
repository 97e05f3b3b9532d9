import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {type CheckStoreOptions, checkStore, isClean} from '../src/check-store.ts'
import {sha256} from '../src/digest.ts'
import type {DriverName} from '../src/driver/driver.ts'
import {isImgtoolError} from '../src/errors.ts'
import {chainIDs} from '../src/image/chain.ts'
import {defaultLimits} from '../src/limits.ts'
import {listFiles} from '../src/list-files.ts'
import {openSource} from '../src/open.ts'
import {openDriver} from '../src/open-driver.ts'
import {removeStoredImage} from '../src/remove-stored.ts'
import {layersName, metadataRoot, newFileName, temporaryName} from '../src/store/layout.ts'
import {StoreWriter} from '../src/store/writer.ts'
import {listStore, storeStatus} from '../src/store-status.ts'
import {unpackIntoStore} from '../src/unpack-store.ts'
import {imgtool} from './helpers/cli.ts'
import {cacheIDOf, writeDataRoot} from './helpers/data-root.ts'
import {scratch} from './helpers/image.ts'
import {imageOfTars} from './helpers/memory-layers.ts'
import {addToStore, driverNames, fillStore, placePath, storedLayers} from './helpers/store.ts'
import {directory, file, symlink, tar} from './helpers/tar.ts'

const archive = 'docker-20.10-several.tar'

async function find(store: string, options: CheckStoreOptions = {}): Promise<string[]> {
  const {findings} = await checkStore(store, options)
  return findings.map(({severity, code, subject}) => `${severity} ${code} ${subject}`)
}

const codes = (findings: readonly string[]) => [...new Set(findings.map((finding) => finding.split(' ')[1]))].toSorted()

/** Repairs, after which nothing is wrong, and every image that is left can be read. */
async function repair(t: ExecutionContext, store: string): Promise<readonly string[]> {
  const check = await checkStore(store, {repair: true, layers: true})
  t.deepEqual(check.findings, [])
  const again = await checkStore(store, {repair: true})
  t.deepEqual(again.repairs, [])
  return check.repairs
}

/** Takes away what a repair leaves: images that are damaged, children first, and names of those that are not there. */
async function removeDamaged(store: string): Promise<void> {
  const {findings} = await checkStore(store)
  const damaged = findings.filter(({code}) => code === 'IMAGE_DAMAGED').map(({subject}) => subject)
  while (damaged.length > 0) {
    const imageID = damaged.shift()!
    try {
      await removeStoredImage(store, imageID)
    } catch (error) {
      // It may be gone with a child of it.
      if (isImgtoolError(error) && error.code === 'IMAGE_USED') damaged.push(imageID)
      else if (!isImgtoolError(error) || error.code !== 'IMAGE_NOT_FOUND') throw error
    }
  }
  const lost = (await checkStore(store)).findings.filter(({code}) => code === 'NAME_LOST')
  for (const {subject} of lost) await removeStoredImage(store, subject)
}

/** The names of all that a store has, with the bytes of files that are not in layers. */
function contentOf(store: string): string[] {
  const paths = (readdirSync(store, {recursive: true}) as string[]).toSorted()
  const isRead = (path: string) =>
    !/\/(?:diff\/|dir\/)/.test(path) && lstatSync(join(store, path), {throwIfNoEntry: false})?.isFile()
  return paths.map((path) => (isRead(path) ? `${path} ${readFileSync(join(store, path), 'latin1')}` : path))
}

const topOf = (store: string, driver: DriverName) => {
  const layers = storedLayers(store, driver)
  return layers.find(({chainID}) => !layers.some(({parent}) => parent === chainID))!
}
const baseOf = (store: string, driver: DriverName) => storedLayers(store, driver).find(({parent}) => !parent)!

for (const driver of driverNames) {
  const fill = (t: ExecutionContext) => fillStore(t, driver, archive)
  const metadata = (store: string, ...names: string[]) => join(store, metadataRoot(driver), ...names)

  test(`a store of ${driver} is sound after it was filled, and its status says what is there`, async (t) => {
    const store = await fill(t)
    t.deepEqual(await find(store, {layers: true}), [])
    const {images, layers, containers, driver: name} = await storeStatus(store)
    t.deepEqual([name, images, layers, containers], [driver, 4, 8, 0])
  })

  test(`what killed runs left in ${driver} is found and removed`, async (t) => {
    const store = await fill(t)
    const id = 'ab'.repeat(32)
    mkdirSync(placePath(store, driver, id))
    if (driver === 'overlay2') symlinkSync(`../${'cd'.repeat(32)}/diff`, join(store, 'overlay2/l', 'A'.repeat(26)))
    if (driver === 'aufs') writeFileSync(join(store, 'aufs/layers', 'cd'.repeat(32)), '')
    mkdirSync(join(store, 'tmp/imgtool-0123456789ab'), {recursive: true})
    mkdirSync(metadata(store, temporaryName, 'write-set-123'))
    mkdirSync(metadata(store, temporaryName, 'imgtool-0123456789ab'))
    writeFileSync(metadata(store, newFileName), '')
    writeFileSync(metadata(store, '.tmp-repositories.json123'), '')
    const found = await find(store)
    t.is(found.length, driver === 'vfs' ? 6 : 7)
    t.deepEqual(codes(found), ['LEFTOVER'])
    t.is((await repair(t, store)).length, found.length)
    t.false(existsSync(placePath(store, driver, id)))
    t.is((await listStore(store)).length, 4)
  })

  test(`places that BuildKit made stay in ${driver}, and layers that only it names`, async (t) => {
    const store = await fill(t)
    const built = placePath(store, driver, 'l4w1tz5d3s0xkd6d2rdmzmdba')
    mkdirSync(built)
    const {chainID} = topOf(store, driver)
    rmSync(metadata(store, 'imagedb'), {recursive: true})
    rmSync(metadata(store, 'repositories.json'))
    mkdirSync(join(store, 'buildkit'))
    // A name may lie across what is read at a time.
    const before = '\0'.repeat(256 * 1024 - 40)
    writeFileSync(join(store, 'buildkit/snapshots.db'), `${before}chainid${chainID}\0`)
    await repair(t, store)
    t.true(existsSync(built))
    t.true(storedLayers(store, driver).some((layer) => layer.chainID === chainID))
  })

  test(`a layer of ${driver} without its place stays until what needs it is removed`, async (t) => {
    const store = await fill(t)
    const top = topOf(store, driver)
    rmSync(placePath(store, driver, top.cacheID), {recursive: true})
    const found = await find(store)
    t.true(found.includes(`damage LAYER_DAMAGED ${top.chainID}`), found.join('\n'))
    const expected = ['IMAGE_DAMAGED', 'LAYER_DAMAGED', 'NAME_LOST', ...(driver === 'vfs' ? [] : ['LEFTOVER'])]
    t.deepEqual(codes(found), expected.toSorted())
    const before = (await listStore(store)).length
    const check = await checkStore(store, {repair: true})
    t.deepEqual([codes(await find(store)).includes('IMAGE_DAMAGED'), (await listStore(store)).length], [true, before])
    t.is(
      check.repairs.filter((line) => !/^Removed "(?:overlay2|aufs)\//.test(line)).length,
      0,
      check.repairs.join('\n'),
    )
    await removeDamaged(store)
    await repair(t, store)
    t.is((await listStore(store)).length, before - found.filter((each) => each.includes('IMAGE_DAMAGED')).length)
    t.false(storedLayers(store, driver).some(({chainID}) => chainID === top.chainID))
  })

  test(`without its base, nothing on it in ${driver} is whole`, async (t) => {
    const store = await fill(t)
    rmSync(baseOf(store, driver).path, {recursive: true})
    t.deepEqual(codes(await find(store)), ['IMAGE_DAMAGED', 'LAYER_DAMAGED', 'LEFTOVER', 'NAME_LOST'])
    await removeDamaged(store)
    await repair(t, store)
    t.deepEqual(await listStore(store), [])
    t.deepEqual(storedLayers(store, driver), [])
    t.is(readdirSync(placePath(store, driver, '')).filter((name) => /^[0-9a-f]{64}$/.test(name)).length, 0)
  })

  test(`files of ${driver} that are not what they were are found by reading layers only`, async (t) => {
    const store = await fill(t)
    const {cacheID, chainID} = baseOf(store, driver)
    const place = placePath(store, driver, cacheID)
    const root = driver === 'overlay2' ? join(place, 'diff') : place
    const file = readdirSync(root, {recursive: true, withFileTypes: true}).find((entry) => entry.isFile())!
    const path = join(file.parentPath, file.name)
    writeFileSync(path, readFileSync(path).fill('?'))
    t.deepEqual(await find(store), [])
    t.deepEqual(await find(store, {layers: true}), [`damage LAYER_CHANGED ${chainID}`])
  })

  test(`a tar-split of ${driver} that is lost is found, and one that is cut by reading layers`, async (t) => {
    const store = await fill(t)
    const [one, two] = storedLayers(store, driver)
    const at = (layer: typeof one) => join(layer!.path, 'tar-split.json.gz')
    rmSync(at(one))
    writeFileSync(at(two), readFileSync(at(two)).subarray(0, 40))
    const missing = `damage TAR_SPLIT_MISSING ${one!.chainID}`
    t.deepEqual(await find(store), [missing])
    t.deepEqual(await find(store, {layers: true}), [missing, `damage LAYER_CHANGED ${two!.chainID}`])
  })

  test(`damaged documents of ${driver} are found: configs, names, chainIDs`, async (t) => {
    const store = await fill(t)
    const [image] = await listStore(store)
    writeFileSync(metadata(store, 'imagedb/content/sha256', image!.imageID.slice(7)), '{}')
    const top = topOf(store, driver)
    writeFileSync(join(top.path, 'diff'), `sha256:${'0'.repeat(64)}`)
    const found = await find(store)
    t.true(found.includes(`damage IMAGE_DAMAGED ${image!.imageID}`))
    t.true(found.includes(`damage LAYER_DAMAGED ${top.chainID}`))
    t.true(found.includes(`damage NAME_LOST ${image!.names[0]}`))
    await checkStore(store, {repair: true})
    await removeDamaged(store)
    await repair(t, store)
    writeFileSync(metadata(store, 'repositories.json'), '{')
    t.deepEqual(await find(store), ['damage NAMES_DAMAGED '])
    await t.throwsAsync(checkStore(store, {repair: true}), {code: 'STORE_INVALID'})
    t.is((await listStore(store)).length > 0, true)
  })

  test(`what a container of ${driver} needs stays, and what it wrote`, async (t) => {
    const store = await fill(t)
    const {chainID, cacheID} = topOf(store, driver)
    const [id, mount] = ['12'.repeat(32), '34'.repeat(32)]
    mkdirSync(placePath(store, driver, mount))
    if (driver === 'overlay2') {
      mkdirSync(join(placePath(store, driver, mount), 'diff'))
      writeFileSync(join(placePath(store, driver, mount), 'link'), 'B'.repeat(26))
      const below = placePath(store, driver, cacheID)
      const links = [readFileSync(join(below, 'link')), readFileSync(join(below, 'lower'))]
      writeFileSync(join(placePath(store, driver, mount), 'lower'), `l/${links.join(':')}`)
      symlinkSync(`../${mount}/diff`, join(store, 'overlay2/l', 'B'.repeat(26)))
    }
    if (driver === 'aufs') writeFileSync(join(store, 'aufs/layers', mount), `${cacheID}\n`)
    mkdirSync(metadata(store, 'layerdb/mounts', id), {recursive: true})
    writeFileSync(metadata(store, 'layerdb/mounts', id, 'mount-id'), mount)
    writeFileSync(metadata(store, 'layerdb/mounts', id, 'parent'), chainID)
    t.deepEqual(await find(store), [])
    rmSync(metadata(store, 'imagedb'), {recursive: true})
    rmSync(metadata(store, 'repositories.json'))
    await repair(t, store)
    t.true(storedLayers(store, driver).some((layer) => layer.chainID === chainID))
    t.true(existsSync(placePath(store, driver, mount)))
    rmSync(placePath(store, driver, mount), {recursive: true})
    t.true((await find(store)).includes(`damage CONTAINER_DAMAGED ${id}`))
    await repair(t, store)
    t.deepEqual(storedLayers(store, driver), [])
  })
}

/** What can be lost of a place that has others below and above it, and is known from what is around it. */
const losses = {
  'the symlink to it': (place: string, link: string) => rmSync(join(place, '../l', link)),
  'its link': (place: string) => rmSync(join(place, 'link')),
  'its link and the symlink to it': (place: string, link: string) => {
    rmSync(join(place, '../l', link))
    rmSync(join(place, 'link'))
  },
  'its list of layers below': (place: string) => rmSync(join(place, 'lower')),
  'all that it has but its files': (place: string, link: string) => {
    rmSync(join(place, '../l', link))
    for (const name of ['link', 'lower']) rmSync(join(place, name))
  },
}

for (const [what, lose] of Object.entries(losses)) {
  test(`a place of overlay2 that has lost ${what} is mended, and no image is lost with it`, async (t) => {
    const store = await fillStore(t, 'overlay2', archive)
    const before = await listStore(store)
    const linksBefore = linksOf(store)
    const layers = storedLayers(store, 'overlay2')
    const middles = layers.filter(({chainID, parent}) => parent && layers.some((layer) => layer.parent === chainID))
    t.true(middles.length > 0)
    for (const {cacheID} of middles) {
      const place = placePath(store, 'overlay2', cacheID)
      lose(place, readFileSync(join(place, 'link'), 'latin1'))
    }
    t.true(codes(await find(store)).includes('IMAGE_DAMAGED'))
    const repairs = await repair(t, store)
    for (const {cacheID} of middles) t.true(repairs.includes(`Linked the place ${cacheID} again`))
    t.true(repairs.every((line) => line.startsWith('Linked the place')))
    t.deepEqual(await listStore(store), before)
    // Where a place and the one on it have lost all, nobody knows how the lower one was called.
    if (!what.startsWith('all')) t.deepEqual(linksOf(store), linksBefore)
  })
}

/** Every small file by which places know one another. */
function linksOf(store: string): string[] {
  const names = readdirSync(join(store, 'overlay2')).filter((name) => name !== 'l')
  const contents = names.map((id) => {
    const read = (name: string) =>
      existsSync(join(store, 'overlay2', id, name)) ? readFileSync(join(store, 'overlay2', id, name), 'latin1') : ''
    return `${id} ${read('link')} ${read('lower')}`
  })
  const links = readdirSync(join(store, 'overlay2/l')).map(
    (name) => `${name} ${readlinkSync(join(store, 'overlay2/l', name))}`,
  )
  return [...contents, ...links].toSorted()
}

test('a place of overlay2 that nobody knows by its link gets another one', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  const before = await listStore(store)
  const {cacheID} = topOf(store, 'overlay2')
  const link = join(placePath(store, 'overlay2', cacheID), 'link')
  rmSync(join(store, 'overlay2/l', readFileSync(link, 'latin1')))
  rmSync(link)
  t.deepEqual(await repair(t, store), [`Linked the place ${cacheID} again`])
  t.deepEqual(await listStore(store), before)
  t.is(readlinkSync(join(store, 'overlay2/l', readFileSync(link, 'latin1'))), `../${cacheID}/diff`)
})

test('a place of aufs that has lost what is below it is mended, and no image is lost with it', async (t) => {
  const store = await fillStore(t, 'aufs', archive)
  const before = await listStore(store)
  const lists = storedLayers(store, 'aufs').map(({cacheID}) => join(store, 'aufs/layers', cacheID))
  const contents = lists.map((list) => readFileSync(list, 'latin1'))
  for (const list of lists) rmSync(list)
  t.is((await repair(t, store)).length, lists.length)
  t.deepEqual(await listStore(store), before)
  t.deepEqual(
    lists.map((list) => readFileSync(list, 'latin1')),
    contents,
  )
})

/** What can be lost of what docker knows of a layer, and is known of the images that have it, or of its files. */
const lostRecords = {
  'its diffID': (path: string) => writeFileSync(join(path, 'diff'), 'sha256:00'),
  'its parent': (path: string) => rmSync(join(path, 'parent')),
  'its parent to another one': (path: string) => writeFileSync(join(path, 'parent'), `sha256:${'0'.repeat(64)}`),
  'its size': (path: string) => rmSync(join(path, 'size')),
  'all but its place': (path: string) => {
    for (const name of ['diff', 'parent', 'size']) rmSync(join(path, name), {force: true})
  },
}

for (const driver of driverNames) {
  for (const [what, lose] of Object.entries(lostRecords)) {
    test(`a layer of ${driver} that has lost ${what} is mended, as a dry run says, and no image is lost with it`, async (t) => {
      const store = await fillStore(t, driver, archive)
      const [before, content] = [await listStore(store), contentOf(store)]
      const layers = storedLayers(store, driver)
      const middles = layers.filter(({chainID, parent}) => parent && layers.some((layer) => layer.parent === chainID))
      t.true(middles.length > 0)
      for (const {path} of middles) lose(path)
      t.true(codes(await find(store)).includes('IMAGE_DAMAGED'))
      const damaged = contentOf(store)
      const {repairs: planned} = await checkStore(store, {repair: true, dryRun: true})
      t.deepEqual(contentOf(store), damaged)
      const repairs = await repair(t, store)
      for (const {chainID} of middles)
        t.true(repairs.some((line) => line.startsWith('Mended') && line.includes(chainID)))
      t.deepEqual(
        planned,
        repairs.map((line) => line.replace('Mended', 'Would mend')),
      )
      t.deepEqual(await listStore(store), before)
      t.deepEqual(contentOf(store), content)
    })
  }

  /** What leaves an image that no repair can mend, and of which there are files. */
  const damages = {
    'a config': (store: string) => {
      const directory = join(store, metadataRoot(driver), 'imagedb/content/sha256')
      for (const name of readdirSync(directory)) writeFileSync(join(directory, name), '{}')
    },
    'the configs': (store: string) => {
      const directory = join(store, metadataRoot(driver), 'imagedb/content/sha256')
      for (const name of readdirSync(directory)) rmSync(join(directory, name))
    },
    'a layer': (store: string) => rmSync(topOf(store, driver).path, {recursive: true}),
    'what says where the files of a layer are': (store: string) => rmSync(join(topOf(store, driver).path, 'cache-id')),
    'where the files of a layer are to another place': (store: string) =>
      writeFileSync(join(topOf(store, driver).path, 'cache-id'), 'ab'.repeat(32)),
  }

  for (const [what, damage] of Object.entries(damages)) {
    test(`nothing is removed of a store of ${driver} that has lost ${what}, until the image is`, async (t) => {
      const store = await fillStore(t, driver, archive)
      damage(store)
      const content = contentOf(store)
      const {repairs, findings} = await checkStore(store, {repair: true})
      t.deepEqual(repairs, [])
      t.true(findings.some(({severity}) => severity === 'damage'))
      t.deepEqual(contentOf(store), content)
      // Nor by another run, which removes what killed ones left.
      using kept = await openDriver(driver, store)
      {
        using writer = new StoreWriter(store, kept)
        using _ = await writer.lock()
        t.deepEqual(writer.removeLeftovers(), [])
      }
      t.deepEqual(contentOf(store), content)
      await removeDamaged(store)
      await repair(t, store)
      const used = new Set(storedLayers(store, driver).map(({cacheID}) => cacheID))
      t.deepEqual(
        kept.list().filter((id) => !used.has(id)),
        [],
      )
    })
  }
}

test('what a container has written stays although nothing says where it is', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const [id, mount] = ['12'.repeat(32), '34'.repeat(32)]
  mkdirSync(placePath(store, 'vfs', mount))
  mkdirSync(join(store, 'image/vfs/layerdb/mounts', id), {recursive: true})
  writeFileSync(join(store, 'image/vfs/layerdb/mounts', id, 'mount-id'), '56'.repeat(32))
  const {repairs, findings} = await checkStore(store, {repair: true})
  t.deepEqual(repairs, [])
  t.deepEqual(findings.map(({code}) => code).toSorted(), ['CONTAINER_DAMAGED', 'LEFTOVER'])
  await removeStoredImage(store, id)
  await repair(t, store)
  t.false(existsSync(placePath(store, 'vfs', mount)))
})

test('a place stays while another one is that of two layers', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  writeFileSync(join(topOf(store, 'vfs').path, 'cache-id'), baseOf(store, 'vfs').cacheID)
  const {repairs, findings} = await checkStore(store, {repair: true})
  t.deepEqual([repairs, findings.map(({code}) => code)], [[], ['LEFTOVER']])
})

test.serial('what a repair would do is said as text and as a document, and nothing is written', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  const top = topOf(store, 'overlay2')
  writeFileSync(join(top.path, 'diff'), 'sha256:00')
  mkdirSync(placePath(store, 'overlay2', 'ab'.repeat(32)))
  for (const {cacheID, parent} of storedLayers(store, 'overlay2'))
    if (parent) rmSync(join(placePath(store, 'overlay2', cacheID), 'lower'))
  const content = contentOf(store)
  const planned = JSON.parse((await imgtool('store:check', '--repair', '--dry-run', '--json', store)).stdout)
  t.deepEqual(contentOf(store), content)
  t.is(planned.status, 'wrong')
  const would = (await imgtool('store:check', '--repair', '--dry-run', store)).stdout
  t.true(would.startsWith(planned.repairs.join('\n')))
  t.true(would.includes(`Would mend the ids of layer ${top.chainID}\n`))
  t.true(would.includes(`Would remove the place ${'ab'.repeat(32)}\n`))
  const done = await repair(t, store)
  t.deepEqual(
    planned.repairs.map((line: string) => line.split(' ').slice(2)),
    done.map((line) => line.split(' ').slice(1)),
  )
  t.is((await imgtool('store:check', '--dry-run', store)).error?.oclif?.exit, 2)
})

test('a repair removes no image of which another one has the layer that is lost', async (t) => {
  const [below, shared] = [tar(file('below', 'below')), tar(file('shared', 'shared'))]
  const recipes = [
    {names: ['app:1'], layers: [below, shared]},
    {names: ['other:1'], layers: [shared]},
  ]
  const store = writeDataRoot(scratch(t), 'vfs', recipes)
  const chainID = chainIDs([below, shared].map(sha256))[1]!
  rmSync(placePath(store, 'vfs', cacheIDOf(chainID)), {recursive: true})
  const {findings} = await checkStore(store, {repair: true})
  t.regex(
    findings.find(({code}) => code === 'IMAGE_DAMAGED')!.message,
    /it can be read, and stays where --repair cannot mend it: save it with/,
  )
  await using source = await openSource(`docker-root:${store}:app:1`)
  const listed = [...(await listFiles(source.set.images[0]!))].map(({path}) => path)
  t.deepEqual(listed.filter((path) => path !== '').toSorted(), ['below', 'shared'])
})

test('a repair removes nothing while a limit hides what there is', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const before = await listStore(store)
  const limits = {...defaultLimits, config: 100}
  await t.throwsAsync(checkStore(store, {repair: true, limits}), {code: 'LIMIT_EXCEEDED'})
  t.deepEqual(await listStore(store), before)
})

for (const driver of driverNames) {
  test(`files that ${driver} has where a symlink of a lower layer leads are those of the layer`, async (t) => {
    const store = scratch(t)
    const layers = [
      tar(directory('real', {mode: 0o755}), file('real/a', 'a'), symlink('lnk', 'real')),
      tar(file('other', 'other')),
      tar(file('lnk/b', 'content')),
    ]
    const source = {archive: undefined, set: {v1: new Map()}}
    await unpackIntoStore({source, images: [imageOfTars(...layers)]} as never, store, driver)
    let read = 0
    const found = await find(store, {layers: true, onLayer: () => read++})
    t.deepEqual([codes(found).includes('LAYER_CHANGED'), read], [false, layers.length], found.join())
  })
}

test.serial('store list marks images that are damaged, also one of which only the name is left', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  const before = await listStore(store)
  const top = topOf(store, 'overlay2')
  rmSync(placePath(store, 'overlay2', top.cacheID), {recursive: true})
  const damaged = (await listStore(store)).filter(({damage}) => damage !== undefined)
  t.deepEqual(
    [...new Set(damaged.map(({damage}) => damage))],
    [`its layer ${top.chainID} is missing or cannot be used`],
  )
  const {imageID, names} = before.find((image) => damaged.every((other) => other.imageID !== image.imageID))!
  rmSync(join(store, 'image/overlay2/imagedb/content/sha256', imageID.slice('sha256:'.length)))
  const {stdout, stderr} = await imgtool('store:list', store)
  t.regex(stdout, new RegExp(`^${names[0]} +${imageID.slice(7, 19)} .* damaged$`, 'm'))
  t.is(stdout.match(/ damaged$/gm)?.length, damaged.flatMap((image) => image.names).length + names.length)
  t.regex(stderr, new RegExp(`Warning: Image ${imageID.slice(7, 19)} is damaged: its config is missing`))
  const {images} = JSON.parse((await imgtool('store:list', store, '--json')).stdout)
  const ids = [...damaged.map((image) => image.imageID), imageID]
  t.deepEqual(images.filter((image: {damage?: string}) => image.damage).length, ids.length)
})

test('a store that has lost the names of its images says so', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  rmSync(join(store, 'image/vfs/repositories.json'))
  const check = await checkStore(store)
  t.true(isClean(check))
  t.deepEqual(
    check.findings.map(({severity, message}) => `${severity}: ${message}`),
    ['note: No image has a name: repositories.json is missing'],
  )
})

test.serial('what store check says to do about a layer that was changed helps', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const names = (await listStore(store)).flatMap((image) => image.names)
  const root = baseOf(store, 'vfs')
  const place = placePath(store, 'vfs', root.cacheID)
  const file = readdirSync(place, {recursive: true, withFileTypes: true}).find((entry) => entry.isFile())!
  writeFileSync(join(file.parentPath, file.name), 'changed')
  const {stdout, stderr} = await imgtool('store:check', '--repair', '--layers', store)
  t.regex(stdout, new RegExp(`damage: Layer ${root.chainID} of shop/.* is not what it was`))
  t.regex(
    stderr,
    /^Hint: a layer that was changed stays. .* imgtool store remove, and unpack or docker pull them again$/m,
  )
  for (const name of names) await imgtool('store:remove', store, name)
  await addToStore(store, 'vfs', archive)
  t.deepEqual(await find(store, {layers: true}), [])
})

test('layers without an image are a note, and go unless another run is at work', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  rmSync(join(store, 'image/vfs/imagedb'), {recursive: true})
  rmSync(join(store, 'image/vfs/repositories.json'))
  const check = await checkStore(store)
  t.deepEqual([isClean(check), check.findings.length, check.findings[0]?.code], [true, 8, 'LAYER_UNUSED'])
  await repair(t, store)
  t.deepEqual(readdirSync(join(store, 'image/vfs', layersName)), [])
})

test('names that docker lists and does not find are written as it looks for them', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const path = join(store, metadataRoot('vfs'), 'repositories.json')
  const [one, other] = (await listStore(store)).map(({imageID}) => imageID)
  const byDigest = `@sha256:${'ab'.repeat(32)}`
  const Repositories = {
    'docker.io/library/foo': {'docker.io/library/foo:1': one, [`docker.io/library/foo${byDigest}`]: one},
    'docker.io/me/app': {'docker.io/me/app:1': one},
    'me/app': {'me/app:1': other},
    'quay.io/library/foo': {'quay.io/library/foo:1': one},
  }
  writeFileSync(path, JSON.stringify({Repositories}))
  const wrong = ['docker.io/library/foo:1', `docker.io/library/foo${byDigest}`, 'docker.io/me/app:1']
  t.deepEqual(
    await find(store),
    wrong.map((name) => `damage NAME_UNREACHABLE ${name}`),
  )
  await repair(t, store)
  t.deepEqual(JSON.parse(readFileSync(path, 'utf8')).Repositories, {
    foo: {'foo:1': one, [`foo${byDigest}`]: one},
    'me/app': {'me/app:1': other},
    'quay.io/library/foo': {'quay.io/library/foo:1': one},
  })
})

test('without --repair nothing is written', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  rmSync(topOf(store, 'overlay2').path, {recursive: true})
  const list = () => readdirSync(store, {recursive: true}).toSorted()
  const before = list()
  await checkStore(store, {layers: true})
  t.deepEqual(list(), before)
})

test('the driver is the one that is there; several have to be told apart', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  await t.throwsAsync(storeStatus(store, {driver: 'aufs'}), {code: 'FORMAT_UNKNOWN'})
  await t.throwsAsync(storeStatus(scratch(t)), {code: 'FORMAT_UNKNOWN'})
  await t.throwsAsync(storeStatus(join(store, 'nothing')), {code: 'SOURCE_NOT_FOUND'})
  mkdirSync(join(store, 'image/aufs'))
  await t.throwsAsync(storeStatus(store), {code: 'IMAGE_AMBIGUOUS'})
  t.is((await storeStatus(store, {driver: 'vfs'})).images, 4)
})

test('symlinks of a store lead nobody out of it', async (t) => {
  const [store, outside] = [await fillStore(t, 'vfs', archive), scratch(t)]
  mkdirSync(join(outside, 'imgtool-0123456789ab'))
  rmSync(join(store, 'tmp'), {recursive: true, force: true})
  symlinkSync(outside, join(store, 'tmp'))
  await t.throwsAsync(checkStore(store, {repair: true}), {code: 'ARCHIVE_INVALID'})
  t.deepEqual(readdirSync(outside), ['imgtool-0123456789ab'])
  renameSync(join(store, 'image'), join(outside, 'image'))
  symlinkSync(join(outside, 'image'), join(store, 'image'))
  await t.throwsAsync(checkStore(store, {repair: true}))
})

test.serial('store check exits with 3 when something is wrong, and says what as text and as a document', async (t) => {
  const store = await fillStore(t, 'vfs', archive)
  const sound = await imgtool('store:check', store)
  t.is(sound.error, undefined)
  t.is(sound.stdout, `${store}: sound (vfs, 4 images, 8 layers)\n`)
  const {chainID} = topOf(store, 'vfs')
  rmSync(join(store, 'image/vfs/layerdb/sha256', chainID.slice(7)), {recursive: true})
  const wrong = await imgtool('store:check', store, '--json')
  const document = JSON.parse(wrong.stdout) as {status: string; findings: unknown[]}
  t.is(document.status, 'wrong')
  t.true(document.findings.length > 0)
  t.regex((await imgtool('store:check', store)).stdout, /damaged in \d+ ways, 1 leftover/)
  const repaired = await imgtool('store:check', store, '--repair')
  t.regex(
    repaired.stdout,
    /damage: Image .* what --repair cannot mend stays until imgtool store remove takes it away$/m,
  )
  t.regex(repaired.stdout, /leftover: Nothing refers to the place .*; it stays, because/)
  await removeDamaged(store)
  t.regex((await imgtool('store:check', store)).stdout, /: sound \(vfs/)
})

test.serial('store status and list print what there is', async (t) => {
  const store = await fillStore(t, 'aufs', archive)
  const status = (await imgtool('store:status', store)).stdout
  t.regex(
    status,
    /^Images: 4\nLayers: 8, 329 B\nStorage Driver: aufs\n Root Dir: .*\/aufs\n Backing Filesystem: .*\n Dirs: 8$/m,
  )
  const lines = (await imgtool('store:list', store)).stdout.split('\n')
  t.regex(lines[0]!, /^NAME +IMAGE ID +CREATED +LAYERS +SIZE$/)
  t.regex(lines[1]!, /^shop\/base:2013 +8a587b85c701 +\S+ +1 +217 B$/)
  t.is((await imgtool('store:list', store, '--quiet')).stdout.trim().split('\n').length, 4)
})
