/**
 * Where docker keeps what below its data-root.
 *
 * @see moby layer/filestore.go, image/fs.go, image/store.go, reference/store.go at v20.10 to v24
 */
import * as v from 'valibot'
import {type Digest, digestHex} from '../digest.ts'
import {mapOf} from '../image/schemas.ts'

/** Storage drivers whose layers are directories of files. */
export const storeDrivers = ['overlay2', 'overlay', 'vfs', 'aufs'] as const
export type StoreDriver = (typeof storeDrivers)[number]

/** Whether a driver keeps the whole tree of each layer, and not only what it changes. */
export function keepsTrees(driver: StoreDriver): boolean {
  return driver === 'vfs' || driver === 'overlay'
}

/** Everything that docker knows of the images and layers of a driver; below the data-root. */
export function metadataRoot(driver: string): string {
  return `image/${driver}`
}

/** Below {@link metadataRoot}. */
export const repositoriesName = 'repositories.json'
/** Directory of the configs, each under the hex of its digest, below {@link metadataRoot}. */
export const configsName = 'imagedb/content/sha256'
/** Directory of the layers, each under the hex of its chainID, below {@link metadataRoot}. */
export const layersName = 'layerdb/sha256'

/** Directory of what is being written, below {@link metadataRoot}. */
export const temporaryName = 'layerdb/tmp'
/** What imgtool is to rename, one at a time: whoever writes it has the lock; below {@link metadataRoot}. */
export const newFileName = `${temporaryName}/imgtool.new`
/** Directory of the containers, each under its id, below {@link metadataRoot}. */
export const containersName = 'layerdb/mounts'

/** What a directory below {@link containersName} holds, each a line without its end. @see moby layer/filestore.go */
export const containerFile = {
  /** The place that the container writes to. */
  mountID: 'mount-id',
  /** The place below it, with what docker makes for every container. */
  initID: 'init-id',
  /** ChainID of the image's layers. */
  parent: 'parent',
  /** Image ID, where imgtool made the container: docker has it in a document of its own, and does not look at this. */
  imageID: 'imgtool-image',
  /** When imgtool made it, RFC 3339. */
  created: 'imgtool-created',
} as const

/** What docker knows of a container, below the data-root. */
export function containerPath(id: string): string {
  return `containers/${id}/config.v2.json`
}

/** What a directory below {@link layersName} holds; each but the last one is a line without its end. */
export const layerFile = {
  diffID: 'diff',
  cacheID: 'cache-id',
  /** Bytes of the layer's files, decimal. */
  size: 'size',
  /** ChainID of the layers below; not there for a base. */
  parent: 'parent',
  tarSplit: 'tar-split.json.gz',
} as const

/** The config of an image, below {@link metadataRoot}. */
export function configPath(imageID: Digest): string {
  return `${configsName}/${digestHex(imageID)}`
}

/** Directory of what docker keeps beside configs, below {@link metadataRoot}. */
export const imagesMetadataName = 'imagedb/metadata/sha256'

/** What docker keeps beside a config, such as its `parent`; below {@link metadataRoot}. */
export function imageMetadataPath(imageID: Digest): string {
  return `${imagesMetadataName}/${digestHex(imageID)}`
}

/** The directory of a layer, below {@link metadataRoot}. */
export function layerPath(chainID: Digest): string {
  return `${layersName}/${digestHex(chainID)}`
}

/** The files of one layer, below the data-root: its own changes, or the whole tree. @see {@link keepsTrees} */
export function contentPath(driver: StoreDriver, cacheID: string): string {
  if (driver === 'vfs') return `vfs/dir/${cacheID}`
  if (driver === 'overlay') return `overlay/${cacheID}/root`
  return driver === 'aufs' ? `aufs/diff/${cacheID}` : `overlay2/${cacheID}/diff`
}

/**
 * `repositories.json`: repository to reference (`name:tag` or `name@digest`) to image ID; before docker 1.10 repository to tag to
 * image.
 *
 * @see moby reference/store.go
 */
export const repositoriesSchema = v.object({Repositories: v.nullish(mapOf(mapOf(v.string())), () => new Map())})

/** Before docker 1.10: a directory for each layer, which is an image of its own, below the data-root. */
export const graphName = 'graph'

/** What a directory below {@link graphName} holds. @see moby graph/graph.go at v1.9.1 */
export const graphFile = {json: 'json', size: 'layersize', tarSplit: 'tar-data.json.gz'} as const

/** Names of images before docker 1.10, below the data-root. */
export function graphRepositoriesName(driver: string): string {
  return `repositories-${driver}`
}
