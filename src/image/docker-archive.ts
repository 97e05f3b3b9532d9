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
import type {Limits} from '../limits.ts'
import {fromText, printableText} from '../text.ts'
import {type ConfigFacts, readConfig, requireSameCount, withoutDiffIDs} from './config.ts'
import {parseDocument, readDocument, requireBlob} from './json.ts'
import {missingBlob} from './missing.ts'
import type {Image, Layer} from './model.ts'
import {familiarName} from './names.ts'
import {dockerManifestSchema} from './schemas.ts'

/** Name of the document that makes an archive one of docker 1.10 or later. */
export const dockerManifestName = 'manifest.json'

/**
 * Reads every image of a docker archive, in the order of `manifest.json`.
 *
 * @throws {ImgtoolError} DOCUMENT_INVALID, BLOB_MISSING for a config, DIGEST_INVALID, LIMIT_EXCEEDED, ARCHIVE_INVALID
 */
export async function readDockerArchive(archive: Archive, limits: Limits): Promise<Image[]> {
  const document = requireBlob(archive, dockerManifestName, 'the manifest')
  const manifest = await readDocument(document, limits.document, 'document')
  const items = parseDocument(manifest, document.name, dockerManifestSchema)
  const images: Image[] = []
  for (const item of items) images.push({...(await readItem(archive, item, limits)), index: images.length, manifest})
  return images.map((image) => withValidParent(image, images))
}

type ManifestItem = v.InferOutput<typeof dockerManifestSchema>[number]

async function readItem(
  archive: Archive,
  item: ManifestItem,
  limits: Limits,
): Promise<Omit<Image, 'index' | 'manifest'>> {
  const blob = requireBlob(archive, item.Config, 'the config')
  const facts = readConfig(await readDocument(blob, limits.config, 'config'), blob.name, limits)
  requireName(item.Config, facts.imageID)
  requireSameCount(item.Layers.length, facts.diffIDs.length, blob.name)
  const layers = item.Layers.map((path, index) => toLayer(archive, path, index, facts))
  const top = layers.at(-1)?.v1ID
  return {
    format: 'docker-archive',
    // skopeo and podman write whole names, docker what it shows.
    names: item.RepoTags.map(familiarName),
    aliases: item.RepoTags.filter((name) => name !== familiarName(name)),
    ...withoutDiffIDs(facts),
    layers,
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
 * Keeps a recorded parent only where `docker load` would: it is in the archive, and its history is this image's less one step.
 *
 * @see moby image/tarexport/load.go, checkValidParent
 */
function withValidParent(image: Image, images: readonly Image[]): Image {
  if (image.parent === undefined) return image
  const {parent: id, ...orphan} = image
  const parent = images.find((candidate) => candidate.imageID === id)
  if (parent === undefined || parent === image || parent.history.length !== image.history.length - 1) return orphan
  const same = parent.history.every((step, at) => JSON.stringify(step) === JSON.stringify(image.history[at]))
  return same ? image : orphan
}
