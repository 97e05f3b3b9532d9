/**
 * What `docker save` writes since 1.10, and what podman, skopeo, kaniko and bazel write like it: `manifest.json` names a
 * config and the layers of every image.
 *
 * @see moby image/spec/v1.2.md, image/tarexport/save.go
 */
import type * as v from 'valibot'
import type {Archive, Blob} from '../archive/archive.ts'
import {type Digest, parseDigest} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {fromText, printableText} from '../text.ts'
import {type ConfigFacts, readConfig, requireSameCount, withoutDiffIDs} from './config.ts'
import {isDamageOfImage} from './damaged.ts'
import {type Documents, parseDocument, requireBlob} from './json.ts'
import {brokenBy, missingBlob} from './missing.ts'
import type {HistoryEntry, Image, Layer, LostImage} from './model.ts'
import {familiarName} from './names.ts'
import {dockerManifestSchema} from './schemas.ts'

/** Name of the document that makes an archive one of docker 1.10 or later. */
export const dockerManifestName = 'manifest.json'

/** What a docker archive holds. */
export interface DockerImages {
  readonly images: readonly Image[]
  readonly lost: readonly LostImage[]
}

/**
 * Reads every image of a docker archive, in the order of `manifest.json`; those whose config is missing or damaged are lost.
 *
 * @throws {ImgtoolError} DOCUMENT_INVALID, DIGEST_INVALID, LIMIT_EXCEEDED, ARCHIVE_INVALID
 */
export async function readDockerArchive(archive: Archive, documents: Documents): Promise<DockerImages> {
  const document = requireBlob(archive, dockerManifestName, 'the manifest')
  const manifest = await documents.read(document)
  const items = parseDocument(manifest, document.name, dockerManifestSchema)
  // Thousands of items may share one large config.
  const configs = new Map<string, Promise<NamedConfig>>()
  const images: Image[] = []
  const lost: LostImage[] = []
  for (const {Config: path, ...item} of items) {
    const config = configs.get(path) ?? readNamedConfig(archive, path, documents)
    configs.set(path, config)
    try {
      const {facts, blob} = await config
      images.push({...toImage(archive, item, facts, blob), index: images.length, manifest})
    } catch (error) {
      if (!isDamageOfImage(error)) throw error
      lost.push(toLost(item, path, error))
    }
  }
  return {images: withValidParents(images), lost}
}

type ManifestItem = v.InferOutput<typeof dockerManifestSchema>[number]

interface NamedConfig {
  readonly facts: ConfigFacts
  readonly blob: Blob
}

async function readNamedConfig(archive: Archive, path: string, documents: Documents): Promise<NamedConfig> {
  const blob = requireBlob(archive, path, 'the config')
  const facts = readConfig(await documents.read(blob, 'config'), blob.name, documents.limits)
  requireName(path, facts.imageID)
  return {facts, blob}
}

/** The name of a config was its image ID, whatever its bytes are now. */
function toLost({RepoTags: tags}: Omit<ManifestItem, 'Config'>, path: string, error: ImgtoolError): LostImage {
  const [, hex] = /^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json)?$/.exec(path) ?? []
  return {...toNames(tags), ...(hex !== undefined && {imageID: `sha256:${hex}`}), error}
}

/** skopeo and podman write whole names, docker what it shows. */
function toNames(tags: readonly string[]): Pick<Image, 'names' | 'aliases'> {
  return {names: tags.map(familiarName), aliases: tags.filter((name) => name !== familiarName(name))}
}

function toImage(
  archive: Archive,
  item: Omit<ManifestItem, 'Config'>,
  facts: ConfigFacts,
  config: Blob,
): Omit<Image, 'index' | 'manifest'> {
  requireSameCount(item.Layers.length, facts.diffIDs.length, config.name)
  const layers = item.Layers.map((path, index) => toLayer(archive, path, index, facts))
  const top = layers.at(-1)?.v1ID
  return {
    format: 'docker-archive',
    ...toNames(item.RepoTags),
    ...withoutDiffIDs(facts),
    layers,
    ...brokenBy(layers),
    ...(top === undefined ? {} : {v1ID: top}),
    ...(item.Parent ? {parent: parseDigest(item.Parent, 'Parent in manifest.json')} : {}),
  }
}

/** The digest that a path of docker 25 or later names; other paths promise nothing. */
function digestOf(path: string): Digest | undefined {
  const [, hex] = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path) ?? []
  return hex === undefined ? undefined : `sha256:${hex}`
}

function requireName(path: string, actual: Digest): void {
  const expected = digestOf(path)
  if (expected === undefined || expected === actual) return
  throw new ImgtoolError('DIGEST_MISMATCH', `Cannot read "${path}": its bytes have the digest ${actual}`, {
    expected,
    actual,
  })
}

function toLayer(archive: Archive, path: string, index: number, facts: ConfigFacts): Layer {
  const [v1ID] = /^[0-9a-f]{64}(?=\/layer\.tar$)/.exec(path) ?? []
  const digest = digestOf(path)
  return {
    index,
    blob: findLayer(archive, path, index),
    diffID: facts.diffIDs[index]!,
    ...(v1ID === undefined ? {} : {v1ID}),
    ...(digest === undefined ? {} : {digest}),
  }
}

/** A partial archive can still be listed, so a layer that is not there fails only when it is read. */
function findLayer(archive: Archive, path: string, index: number): Blob {
  const name = fromText(path)
  return (
    archive.blob(name) ??
    missingBlob(
      name,
      0,
      new ImgtoolError('BLOB_MISSING', `Cannot find layer ${index} "${printableText(path)}" in the archive`, {
        layer: index,
        entry: name,
      }),
    )
  )
}

/**
 * Keeps recorded parents only where `docker load` would: the parent is in the archive, and its history is the image's less
 * one step. Each pair of images is compared once, however many items name them.
 *
 * @see moby image/tarexport/load.go, checkValidParent
 */
function withValidParents(images: readonly Image[]): Image[] {
  const byID = new Map(images.map((image) => [image.imageID, image]))
  const verdicts = new Map<string, boolean>()
  return images.map((image) => {
    const {parent: id, ...orphan} = image
    const parent = id === undefined ? undefined : byID.get(id)
    if (parent === undefined) return orphan
    const pair = `${id} ${image.imageID}`
    const valid = verdicts.get(pair) ?? isOneStepAhead(image.history, parent.history)
    verdicts.set(pair, valid)
    return valid ? image : orphan
  })
}

function isOneStepAhead(history: readonly HistoryEntry[], before: readonly HistoryEntry[]): boolean {
  if (history.length !== before.length + 1) return false
  return before.every((step, at) => JSON.stringify(step) === JSON.stringify(history[at]))
}
