/** What a docker data-root has, as its files say, and what its places show. */
import {lstatSync, readdirSync, readFileSync, readlinkSync} from 'node:fs'
import {join} from 'node:path'
import type {DriverName} from '../../src/driver/driver.ts'
import {chainIDs} from '../../src/image/chain.ts'
import {openDriver} from '../../src/open-driver.ts'
import {scanTree, type Tree} from './scan-tree.ts'

/** Names of images, with their IDs; sorted. */
export function readNames(store: string, driver: DriverName): string[] {
  const {Repositories} = JSON.parse(readFileSync(join(store, 'image', driver, 'repositories.json'), 'utf8'))
  const repositories: Record<string, string>[] = Object.values(Repositories)
  return repositories.flatMap((references) => Object.entries(references).map((pair) => pair.join(' '))).toSorted()
}

/** The tree of an image, on the topmost place of its layers. */
export async function scanPlace(store: string, driver: DriverName, diffIDs: readonly string[]): Promise<Tree> {
  const top = chainIDs(diffIDs as readonly `sha256:${string}`[]).at(-1)!
  using places = await openDriver(driver, store)
  const id = readLayerFile(store, driver, top.replace('sha256:', ''), 'cache-id')
  const path = places.get(id, {isWritable: false})
  try {
    return scanTree(path)
  } finally {
    places.put(id)
  }
}

/** What nothing refers to or leads nowhere; a store that nobody works on has no such thing. */
export function findLeftovers(store: string, driver: DriverName): string[] {
  const metadata = join('image', driver)
  const layers = list(join(store, metadata, 'layerdb/sha256'))
  const used = new Set(layers.map((layer) => readLayerFile(store, driver, layer, 'cache-id')))
  const folders = {overlay2: ['overlay2'], vfs: ['vfs/dir'], aufs: ['aufs/diff', 'aufs/layers', 'aufs/mnt']}[driver]
  const places = folders.flatMap((folder) => list(join(store, folder)).map((name) => ({folder, name})))
  const lost = places.filter(({name}) => /^[0-9a-f]{64}$/.test(name) && !used.has(name))
  const missing = [...used].filter((id) =>
    folders.some((folder) => !places.some((place) => isPlace(place, folder, id))),
  )
  return [
    ...lost.map(({folder, name}) => `${folder}/${name}`),
    ...missing.map((id) => `nothing at ${id}`),
    ...list(join(store, 'overlay2/l')).filter((link) => !isThere(followLink(store, link))),
    ...['tmp', `${metadata}/layerdb/tmp`].flatMap((folder) => list(join(store, folder))),
    ...listTemporary(join(store, metadata)),
  ]
}

function isPlace(place: {readonly folder: string; readonly name: string}, folder: string, id: string): boolean {
  return place.folder === folder && place.name === id
}

function followLink(store: string, link: string): string {
  const links = join(store, 'overlay2/l')
  return join(links, readlinkSync(join(links, link)))
}

/** Files that were to be renamed. */
function listTemporary(metadata: string): string[] {
  const folders = [
    '.',
    'imagedb/content/sha256',
    ...list(join(metadata, 'imagedb/metadata/sha256')).map((name) => `imagedb/metadata/sha256/${name}`),
  ]
  return folders.flatMap((folder) => list(join(metadata, folder)).filter((name) => name.includes('imgtool')))
}

function readLayerFile(store: string, driver: DriverName, layer: string, name: string): string {
  return readFileSync(join(store, 'image', driver, 'layerdb/sha256', layer, name), 'utf8')
}

function isThere(path: string): boolean {
  return lstatSync(path, {throwIfNoEntry: false}) !== undefined
}

/** The names in a directory; none where there is no directory. */
function list(directory: string): string[] {
  return isThere(directory) ? readdirSync(directory) : []
}
