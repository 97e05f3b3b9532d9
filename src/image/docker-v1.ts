/**
 * What `docker save` wrote before 1.10: every layer is an image of its own with a random id and a parent, in
 * `<id>/{VERSION,json,layer.tar}`; `repositories` names some of them.
 *
 * @see moby image/spec/v1.md; graph/export.go of docker 1.9
 */
import type {Archive} from '../archive/archive.ts'
import {isID} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {printableText} from '../text.ts'
import {given, toPlatform} from './config.ts'
import {isDamageOfImage, markMalformed} from './damaged.ts'
import {type Documents, parseDocument} from './json.ts'
import {brokenBy, missingBlob} from './missing.ts'
import type {HistoryEntry, Image, Layer, LostImage, V1Node} from './model.ts'
import {repositoriesSchema, type V1Document, v1Schema} from './schemas.ts'

/** Name of the document that names images. It is absent when images were saved by id. */
export const repositoriesName = 'repositories'

/** Name of a layer's document; the id is the only thing of it that is trusted. */
const jsonName = /^([0-9a-f]{64})\/json$/

/** What an archive before docker 1.10 holds. */
export interface V1Images {
  readonly images: readonly Image[]
  readonly lost: readonly LostImage[]
  /** By id, in the order of the archive. */
  readonly nodes: ReadonlyMap<string, V1Node>
}

/** Whether an archive has layers of the old form. */
export function hasV1Layers(archive: Archive): boolean {
  for (const name of archive.members.keys()) if (jsonName.test(name)) return true
  return false
}

/**
 * Reads every layer's document and every image: the named ones in the order of `repositories`, then those that have
 * neither name nor child. Images are lost for which a layer's document is damaged.
 *
 * @throws {ImgtoolError} DOCUMENT_INVALID, DIGEST_INVALID for an id that is none, IMAGE_NOT_FOUND for a name that leads
 *   nowhere, PARENT_CYCLE, LIMIT_EXCEEDED
 */
export async function readV1Archive(archive: Archive, documents: Documents): Promise<V1Images> {
  const {limits} = documents
  const {read, damage} = await readNodes(archive, documents)
  const nodes = new Map([...read].map(([id, {node}]) => [id, node]))
  const names = await readRepositories(archive, (id) => nodes.has(id) || damage.has(id), documents)
  const parents = new Set([...nodes.values()].map((node) => node.parent))
  const nameless = [...nodes.keys()].filter((id) => !parents.has(id) && !names.has(id))
  requireNoCycle(nodes)
  const images: Image[] = []
  const lost: LostImage[] = []
  const lose = (id: string, error: ImgtoolError) => lost.push({names: names.get(id) ?? [], v1ID: id, error})
  for (const [id, error] of damage) if (names.has(id) || names.size === 0) lose(id, error)
  // Many tops on one long chain: the layers of all images together may be the square of what the archive holds.
  let layers = 0
  for (const id of [...names.keys(), ...nameless].filter((top) => !damage.has(top))) {
    const image = toImage(read, id, images.length, names.get(id) ?? [], limits)
    layers += image.layers.length
    checkLimit(limits, 'members', layers, 'layers of all images of the archive')
    const error = damage.get(nodes.get(image.layers[0]!.v1ID!)!.parent ?? '') ?? doubtOf(image, damage)
    if (error === undefined) images.push(image)
    else lose(id, error)
  }
  return {images, lost, nodes}
}

/** Without a name, it may as well be what an image grew from whose document is damaged. */
function doubtOf({names}: Image, damage: ReadonlyMap<string, ImgtoolError>): ImgtoolError | undefined {
  const [error] = damage.values()
  if (error === undefined || names.length > 0) return undefined
  const {code, message, details} = error
  return new ImgtoolError(code, `It may be but a part of another one. ${message}`, details)
}

/** A layer with what its document says of an image that it is the top of. The rest is not kept: it may be large. */
interface ReadNode {
  readonly node: V1Node
  readonly facts: Pick<Image, 'platform' | 'created' | 'author'>
}

interface ReadNodes {
  readonly read: ReadonlyMap<string, ReadNode>
  /** Why others cannot be read, by id. */
  readonly damage: ReadonlyMap<string, ImgtoolError>
}

async function readNodes(archive: Archive, documents: Documents): Promise<ReadNodes> {
  const read = new Map<string, ReadNode>()
  const damage = new Map<string, ImgtoolError>()
  for (const name of archive.members.keys()) {
    const id = jsonName.exec(name)?.[1]
    if (id === undefined) continue
    try {
      read.set(id, await readNode(archive, id, name, documents))
    } catch (error) {
      if (!isDamageOfImage(error)) throw error
      damage.set(id, error)
    }
  }
  return {read, damage}
}

async function readNode(archive: Archive, id: string, name: string, documents: Documents): Promise<ReadNode> {
  const json = await documents.read(archive.blob(name)!)
  const document = parseDocument(json, name, v1Schema)
  if (document.parent && !isID(document.parent)) throw markMalformed(noID(document.parent, `parent in "${name}"`))
  const layerName = `${id}/layer.tar`
  const layer = archive.blob(layerName)
  const node: V1Node = {
    id,
    ...given('parent', document.parent),
    history: toHistory(document),
    claimedSize: document.Size ?? 0,
    json,
    layer:
      layer ??
      missingBlob(
        layerName,
        0,
        new ImgtoolError('BLOB_MISSING', `Cannot find "${layerName}" in the archive`, {entry: layerName}),
      ),
  }
  const {created, author} = document
  return {node, facts: {platform: toPlatform(document), ...given('created', created), ...given('author', author)}}
}

function toHistory(document: V1Document): HistoryEntry {
  const command = document.container_config?.Cmd
  return {
    ...given('created', document.created),
    ...given('createdBy', Array.isArray(command) ? command.join(' ') : command),
    ...given('author', document.author),
    ...given('comment', document.comment),
    emptyLayer: false,
  }
}

/** @returns names by id, in the order of `repositories` */
async function readRepositories(
  archive: Archive,
  isKnown: (id: string) => boolean,
  documents: Documents,
): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>()
  const blob = archive.blob(repositoriesName)
  if (blob === undefined) return names
  const document = parseDocument(await documents.read(blob), repositoriesName, repositoriesSchema)
  for (const [repository, tags] of document) {
    for (const [tag, id] of tags) {
      if (!isID(id)) throw noID(id, `the id of "${printableText(`${repository}:${tag}`)}" in repositories`)
      if (!isKnown(id)) {
        throw new ImgtoolError(
          'IMAGE_NOT_FOUND',
          `Cannot find image ${id}, named "${printableText(`${repository}:${tag}`)}", in the archive`,
        )
      }
      names.set(id, [...(names.get(id) ?? []), `${repository}:${tag}`])
    }
  }
  return names
}

function noID(id: string, where: string): ImgtoolError {
  return new ImgtoolError('DIGEST_INVALID', `${where} is not an id: ${JSON.stringify(id)}`)
}

/** Marks the way down from every node and stops at what an earlier way has cleared, so the cost is one visit a node. */
function requireNoCycle(nodes: ReadonlyMap<string, V1Node>): void {
  const cleared = new Set<string>()
  for (const start of nodes.keys()) {
    const way = new Set<string>()
    for (
      let node = nodes.get(start);
      node !== undefined && !cleared.has(node.id);
      node = nodes.get(node.parent ?? '')
    ) {
      if (way.has(node.id))
        throw new ImgtoolError('PARENT_CYCLE', `Cannot read layer ${node.id}: it is its own ancestor`)
      way.add(node.id)
    }
    for (const id of way) cleared.add(id)
  }
}

function toImage(
  nodes: ReadonlyMap<string, ReadNode>,
  id: string,
  index: number,
  names: readonly string[],
  limits: Limits,
): Image {
  const {node: top, facts} = nodes.get(id)!
  const chain: V1Node[] = []
  for (let node: V1Node | undefined = top; node !== undefined; node = nodes.get(node.parent ?? '')?.node) {
    chain.push(node)
    checkLimit(limits, 'parents', chain.length, `ancestors of layer ${id}`)
  }
  chain.reverse()
  checkLimit(limits, 'layers', chain.length, 'layers of the image')
  const layers = chain.map(toLayer)
  return {
    format: 'docker-v1',
    index,
    names,
    aliases: [],
    v1ID: id,
    ...facts,
    config: top.json,
    history: chain.map((node) => node.history),
    layers,
    ...brokenBy(layers),
    ...cutOff(chain),
  }
}

function cutOff([base]: readonly V1Node[]): Pick<Image, 'broken'> {
  if (base?.parent === undefined) return {}
  const message = `Cannot find ${base.parent}, the parent of layer ${base.id}, in the archive`
  const hint = 'The archive is partial: save the image again with its ancestors'
  return {broken: new ImgtoolError('PARENT_MISSING', message, {hint})}
}

function toLayer(node: V1Node, index: number): Layer {
  return {index, blob: node.layer, v1ID: node.id, ...(node.claimedSize > 0 ? {claimedSize: node.claimedSize} : {})}
}
