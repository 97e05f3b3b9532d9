/** What images become in a new archive: their configs, and what else is known of them beside their layers. */
import type {Archive} from './archive/archive.ts'
import type {CopiedLayer} from './copy-layer.ts'
import {type Digest, sha256} from './digest.ts'
import {dropEmptyLayers, replaceDiffIDs, withPlatform} from './image/better-config.ts'
import type {Image, V1Node} from './image/model.ts'
import {blobName} from './image/oci.ts'
import {configFromV1, type V1Config} from './image/v1-config.ts'
import type {NewImage} from './image/write/writer.ts'
import type {Source} from './open.ts'

/** An image and its layers as they were copied, base first. */
export interface CopiedImage {
  readonly image: Image
  readonly layers: readonly CopiedLayer[]
}

/**
 * Makes new images of copied ones. A config is the very bytes that the image had; an image from before docker 1.10 gets what
 * dockerd makes of it.
 *
 * @param isBetter steps without a layer are marked, and a config from before docker 1.10 says its platform
 * @throws {ImgtoolError} DOCUMENT_INVALID
 */
export async function toNewImages(
  copies: readonly CopiedImage[],
  {archive, set}: Pick<Source, 'archive' | 'set'>,
  isBetter: boolean,
): Promise<NewImage[]> {
  const configs = new Configs(set.v1)
  const images: NewImage[] = []
  for (const copy of copies) {
    images.push({...toNewImage(copy, configs, isBetter), manifest: await readManifest(archive, copy.image)})
  }
  const known = new Set(images.map(({imageID}) => imageID))
  return images.map((image) => (image.parent && known.has(image.parent) ? image : {...image, parent: undefined}))
}

function toNewImage({image, layers}: CopiedImage, configs: Configs, isBetter: boolean): NewImage {
  const {names, platform, platformIndex, format} = image
  const {config, parent} = configs.of(image, layers)
  const completed = isBetter && format === 'docker-v1' ? withPlatform(config, platform) : config
  const isDropped = layers.map((layer) => layer.isDropped)
  const written = dropEmptyLayers(completed, isDropped)
  return {
    names,
    platform,
    platformIndex,
    imageID: sha256(written),
    config: written,
    layers: layers.filter((layer) => !layer.isDropped),
    parent,
    ...(format === 'docker-v1' && !isBetter && {v1: configs.nodesOf(image)}),
  }
}

/** The OCI manifest, which an archive of docker 25 or later has beside its own. */
async function readManifest(archive: Archive, {format, manifest, manifestDigest}: Image): Promise<Buffer | undefined> {
  if (format === 'oci' || manifestDigest === undefined) return format === 'oci' ? manifest : undefined
  const blob = archive.blob(blobName(manifestDigest))
  const bytes = await blob?.read(0, blob.size)
  return bytes !== undefined && sha256(bytes) === manifestDigest ? bytes : undefined
}

/** Configs of images, also of those from before docker 1.10, which have none. */
class Configs {
  readonly #nodes: ReadonlyMap<string, V1Node>
  /** By v1 id: images share ancestors. */
  readonly #converted = new Map<string, V1Config>()

  constructor(nodes: ReadonlyMap<string, V1Node>) {
    this.#nodes = nodes
  }

  /** The layers' documents of an image from before docker 1.10, base first. */
  nodesOf(image: Image): V1Node[] {
    return image.layers.map(({v1ID}) => this.#nodes.get(v1ID!)!)
  }

  of(image: Image, layers: readonly CopiedLayer[]): {config: Buffer; parent: Digest | undefined} {
    const isRebuilt = image.layers.some(({lostDiffID}) => lostDiffID !== undefined)
    const diffIDs = layers.map(({diffID}) => diffID)
    if (isRebuilt) return {config: replaceDiffIDs(image.config, diffIDs), parent: undefined}
    if (image.imageID !== undefined) return {config: image.config, parent: image.parent}
    let top: V1Config | undefined
    let parent: V1Config | undefined
    for (const [at, node] of this.nodesOf(image).entries()) {
      parent = top
      top = this.#converted.get(node.id) ?? configFromV1(node.json, parent, layers[at]!.diffID)
      this.#converted.set(node.id, top)
    }
    return {config: top!.config, parent: parent?.imageID}
  }
}
