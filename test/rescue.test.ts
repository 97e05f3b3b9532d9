import {existsSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import type {DriverName} from '../src/driver/driver.ts'
import {openSource} from '../src/open.ts'
import {metadataRoot} from '../src/store/layout.ts'
import {listStore} from '../src/store-status.ts'
import {imgtool, spawnImgtool} from './helpers/cli.ts'
import {scratch} from './helpers/image.ts'
import {driverNames, fillStore, placePath, storedLayers} from './helpers/store.ts'

const archive = 'docker-20.10-several.tar'

/** A store in which one image of several is to be damaged, by what only it has. */
async function fill(t: ExecutionContext, driver: DriverName) {
  const store = await fillStore(t, driver, archive)
  await using source = await openSource(`docker-root:${store}`)
  const others = (name: string) => source.set.images.filter(({names}) => names[0] !== name)
  const isLoneTop = ({names: [name], layers}: (typeof source.set.images)[number]) =>
    others(name!).every((other) => !other.layers.some(({diffID}) => diffID === layers.at(-1)!.diffID))
  const {names, imageID} = source.set.images.find(isLoneTop)!
  const {chainID, cacheID} = topOf(store, driver, source.set.images.find(isLoneTop)!.layers.at(-1)!.diffID!)
  const place = placePath(store, driver, cacheID)
  const left = others(names[0]!).map((image) => image.imageID!)
  return {store, name: names[0]!, imageID: imageID!, chainID, place, left: left.toSorted(), outside: scratch(t)}
}

function topOf(store: string, driver: DriverName, diffID: string) {
  return storedLayers(store, driver).find(({path}) => readFileSync(join(path, 'diff'), 'latin1') === diffID)!
}

/** Changes the files of a layer, which have the same sizes afterwards. */
function change(place: string): void {
  const root = existsSync(join(place, 'diff')) ? join(place, 'diff') : place
  const files = readdirSync(root, {recursive: true, withFileTypes: true}).filter((entry) => entry.isFile())
  // Names can be bytes that are no text.
  const paths = files.map(({parentPath, name}) => join(parentPath, name)).filter(existsSync)
  for (const path of paths) writeFileSync(path, readFileSync(path).fill('?'))
}

async function idsOf(reference: string): Promise<string[]> {
  await using source = await openSource(reference)
  return source.set.images.map(({imageID}) => imageID!).toSorted()
}

for (const driver of driverNames) {
  test.serial(
    `of ${driver}, an image without its place is left out where all are taken, and the others are not`,
    async (t) => {
      const {store, name, place, left, outside} = await fill(t, driver)
      rmSync(place, {recursive: true})
      const warning = new RegExp(`Warning: Image "${name}" .* is left out: Cannot find layer \\d .* no files of it`)
      for (const target of ['all.tar', 'all.oci.tar', 'layout/']) {
        const {error, stderr} = await imgtool('convert', `docker-root:${store}`, join(outside, target))
        t.is(error, undefined)
        t.regex(stderr, warning)
        t.deepEqual(await idsOf(join(outside, target)), left)
      }
      const other = join(outside, 'store')
      const {error, stderr} = await imgtool('unpack', '--driver', 'vfs', `docker-root:${store}`, other)
      t.is(error, undefined)
      t.regex(stderr, warning)
      t.regex(stderr, new RegExp(`Unpacked ${left.length} images?,`))
      t.deepEqual(await idsOf(`docker-root:${other}`), left)
      const named = await imgtool('convert', `docker-root:${store}:${name}`, join(outside, 'one.tar'))
      t.is(named.error?.oclif?.exit, 1)
      t.regex(named.stderr, /Error: Cannot find layer \d \(sha256:.*\) in the store: the driver has no files of it/)
      t.false(existsSync(join(outside, 'one.tar')))
    },
  )

  test.serial(
    `of ${driver}, an image with a changed file is left out where all are taken, and says where its files are`,
    async (t) => {
      const {store, name, place, left, outside} = await fill(t, driver)
      change(place)
      const why = 'its content was changed'
      const mount = `imgtool mount ${name} DIRECTORY --store ${store}`
      const {error, stderr} = await imgtool('convert', `docker-root:${store}`, join(outside, 'all.tar'))
      t.is(error, undefined)
      t.regex(stderr, new RegExp(`Warning: Image "${name}" .* is left out: .*${why}.*; its files: ${mount}`))
      t.deepEqual(await idsOf(join(outside, 'all.tar')), left)
      t.deepEqual(readdirSync(outside), ['all.tar'])
      const other = join(outside, 'store')
      const unpacked = await imgtool('unpack', '--driver', 'vfs', `docker-root:${store}`, other)
      t.regex(unpacked.stderr, new RegExp(`left out: .*${why}`))
      t.deepEqual((await listStore(other)).map(({imageID}) => imageID).toSorted(), left as never)
      t.deepEqual((await imgtool('store:check', '--layers', other)).error, undefined)
      const named = await imgtool('convert', `docker-root:${store}:${name}`, join(outside, 'one.tar'))
      t.regex(named.stderr, new RegExp(`Error: .*${why}.*\nHint: See its files with ${mount}\n`))
      const piped = await spawnImgtool(['convert', `docker-root:${store}`, 'docker-archive:-'])
      t.is(piped.status, 1)
      t.regex(
        piped.stderr,
        /Hint: See its files .* Write all images to a file, and those that are damaged are left out/,
      )
    },
  )
}

test.serial('where no image is whole, it is an error, and nothing is written', async (t) => {
  const store = await fillStore(t, 'overlay2', archive)
  const outside = scratch(t)
  for (const {cacheID} of storedLayers(store, 'overlay2'))
    rmSync(placePath(store, 'overlay2', cacheID), {recursive: true})
  const {error, stderr} = await imgtool('convert', `docker-root:${store}`, join(outside, 'all.tar'))
  t.is(error?.oclif?.exit, 1)
  t.regex(stderr, /Error: Cannot find layer 0 .* in the store: the driver has no files of it/)
  t.deepEqual(readdirSync(outside), [])
})

test.serial(
  'an image whose config cannot be used is left out by its name, and says why where it is asked for',
  async (t) => {
    const {store, name, imageID, left, outside} = await fill(t, 'vfs')
    const config = join(store, metadataRoot('vfs'), 'imagedb/content/sha256', imageID.slice('sha256:'.length))
    writeFileSync(config, '{}')
    const all = await imgtool('convert', `docker-root:${store}`, join(outside, 'all.tar'))
    t.is(all.error, undefined)
    t.regex(all.stderr, new RegExp(`Warning: Image "${name}" ${imageID.slice(7)} is left out: .*digest`))
    t.deepEqual(await idsOf(join(outside, 'all.tar')), left)
    for (const wanted of [name, imageID.slice(7, 19)]) {
      const named = await imgtool('convert', `docker-root:${store}:${wanted}`, join(outside, 'one.tar'))
      t.regex(named.stderr, /Error: Cannot use its config: its digest is sha256:/)
    }
    for (const each of left) rmSync(join(store, metadataRoot('vfs'), 'imagedb/content/sha256', each.slice(7)))
    const none = await imgtool('convert', `docker-root:${store}`, join(outside, 'none.tar'))
    t.regex(none.stderr, /Error: Cannot find an image in the data-root: .*is not there/)
  },
)
