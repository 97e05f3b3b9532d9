/** Makes data-roots as docker does, of tars, without a docker. */
import {
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {basename, dirname, join} from 'node:path'
import {gzipSync} from 'node:zlib'
import {type Digest, digestHex, sha256} from '../../src/digest.ts'
import {chainIDs} from '../../src/image/chain.ts'
import type {Entry} from '../../src/layer/tar/entry.ts'
import {
  configPath,
  contentPath,
  imageMetadataPath,
  keepsTrees,
  layerPath,
  metadataRoot,
  repositoriesName,
  type StoreDriver,
} from '../../src/store/layout.ts'
import {readEntries} from './entries.ts'
import {configOf, type Recipe} from './image.ts'
import {splitTar} from './tar-split.ts'

/** An image of a store. */
export interface StoredRecipe extends Recipe {
  readonly layers: readonly Buffer[]
  /** Image ID of the image that it was built on. */
  readonly parent?: string
}

/** The driver's id of a layer. */
export function cacheIDOf(chainID: Digest): string {
  return digestHex(sha256(`cache id of ${chainID}`))
}

/** The image ID of a recipe. */
export function imageIDOf(recipe: Recipe): Digest {
  return sha256(configOf(recipe))
}

/** Writes images with all that docker keeps of them, and the files of their layers. */
export function writeDataRoot(root: string, driver: StoreDriver, recipes: readonly StoredRecipe[]): string {
  const put = (path: string, content: Buffer | string) => write(join(root, metadataRoot(driver), path), content)
  const repositories: Record<string, Record<string, string>> = {}
  for (const recipe of recipes) {
    const imageID = imageIDOf(recipe)
    put(configPath(imageID), configOf(recipe))
    if (recipe.parent) put(`${imageMetadataPath(imageID)}/parent`, recipe.parent)
    for (const name of recipe.names ?? []) {
      const repository = name.split(/[:@]/)[0]!
      repositories[repository] = {...repositories[repository], [name]: imageID}
    }
    writeLayers(root, driver, recipe.layers, put)
  }
  put(repositoriesName, JSON.stringify({Repositories: repositories}))
  return root
}

function writeLayers(
  root: string,
  driver: StoreDriver,
  layers: readonly Buffer[],
  put: (path: string, content: Buffer | string) => void,
): void {
  const chain = chainIDs(layers.map(sha256))
  for (const [at, chainID] of chain.entries()) {
    const cacheID = cacheIDOf(chainID)
    const size = readEntries(layers[at]!).reduce((sum, {entry}) => sum + entry.size, 0)
    const facts = {diff: sha256(layers[at]!), 'cache-id': cacheID, size: String(size), parent: chain[at - 1]}
    for (const [name, value] of Object.entries(facts)) if (value) put(`${layerPath(chainID)}/${name}`, value)
    put(`${layerPath(chainID)}/tar-split.json.gz`, tarSplitOf(layers[at]!))
    const directory = join(root, contentPath(driver, cacheID))
    rmSync(directory, {recursive: true, force: true})
    mkdirSync(directory, {recursive: true})
    const content = keepsTrees(driver) ? layers.slice(0, at + 1) : [layers[at]!]
    for (const layer of content) apply(directory, layer, keepsTrees(driver))
  }
}

/** The tar-split of a layer, as it is stored. */
export function tarSplitOf(layer: Buffer): Buffer {
  return gzipSync(splitTar(layer))
}

/** Writes what a tar holds; whiteouts are carried out, or are files. */
export function apply(directory: string, layer: Buffer, inPlace: boolean): void {
  for (const {entry, content} of readEntries(layer)) {
    const path = join(directory, entry.path)
    mkdirSync(dirname(path), {recursive: true})
    if (!inPlace || !isDeleted(path)) make(directory, path, entry, content)
  }
}

/** Carries a whiteout out. */
function isDeleted(path: string): boolean {
  const [folder, name] = [dirname(path), basename(path)]
  if (!name.startsWith('.wh.')) return false
  const gone = name === '.wh..wh..opq' ? readdirSync(folder) : [name.slice('.wh.'.length)]
  for (const each of gone) rmSync(join(folder, each), {recursive: true})
  return true
}

function make(directory: string, path: string, {kind, link, mtime}: Entry, content: string): void {
  const isKept = kind === 'directory' && existsSync(path) && statSync(path).isDirectory()
  if (!isKept) rmSync(path, {recursive: true, force: true})
  if (kind === 'directory') mkdirSync(path, {recursive: true})
  else if (kind === 'symlink') symlinkSync(link, path)
  else if (kind === 'hardlink') linkSync(join(directory, link), path)
  else writeFileSync(path, content, 'latin1')
  lutimesSync(path, mtime.seconds, mtime.seconds)
}

/** Writes a file, and the directories above it. */
export function write(path: string, content: Buffer | string): void {
  mkdirSync(dirname(path), {recursive: true})
  writeFileSync(path, content)
}
