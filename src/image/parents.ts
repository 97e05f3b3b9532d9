/**
 * The parents of images: what grew out of what, over all images of one or several archives.
 *
 * Before docker 1.10 every layer was an image and named its parent. Since then an image knows only its own stack of
 * layers and the steps of its history, and two images share a parent as far as both begin alike.
 */
import {type Digest, sha256} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import type {HistoryEntry, Image, ImageSet, Layer, V1Node} from './model.ts'
import {type Step, sequenceIDs, stepsOf} from './steps.ts'

/** A layer, or a step of a build that made none. */
export interface ForestNode {
  /**
   * Unique in the forest. A v1 id; or a chainID; or for a step without a layer, and for a stack of layers that two images
   * reached by different steps, a digest over all steps so far.
   */
  readonly id: string
  /** Absent at a root. */
  readonly parent?: string
  /** The parent that the node names and no archive has; the node is a root then. */
  readonly missingParent?: string
  /** Names the stack of layers so far; absent before docker 1.10 and where no layer was made. */
  readonly chainID?: Digest
  readonly v1ID?: string
  /** RFC 3339, as stored. */
  readonly created?: string
  /** What the step did, as stored. */
  readonly createdBy?: string
  /** The step made no layer. */
  readonly empty: boolean
  /** Names of the images that end here. */
  readonly tags: readonly string[]
  /** Image IDs of the images that end here; none before docker 1.10, where they are not stored. */
  readonly images: readonly Digest[]
  /** The first archive that has the node, as the user named it. */
  readonly archive: string
  /** What to measure; absent where no layer was made. */
  readonly layer?: Pick<Layer, 'blob' | 'claimedSize'>
}

/** A node and what it weighs. */
export interface SizedNode extends Omit<ForestNode, 'layer'> {
  /** Bytes of this step alone. */
  readonly size: number
  /** Bytes of this step and all its ancestors. */
  readonly virtualSize: number
  /** Whether both sizes are; else they were estimated without reading the layers, or an ancestor is missing. */
  readonly sizeExact: boolean
}

/** An archive whose images grew out of one another. */
export interface Ancestry {
  /** As the user named the archive. */
  readonly label: string
  readonly set: ImageSet
  /** Those of the set's images that matter, with their ancestors. @default everything in the archive */
  readonly images?: readonly Image[]
}

/**
 * Finds the parents of everything in several archives; what they share is one node.
 *
 * @returns parents before their children, each followed by its whole family; siblings by age, oldest first, then by id,
 *   so that the order of the archives does not matter
 * @throws {ImgtoolError} PARENT_CYCLE when archives name each other's layers as parents in a circle
 */
export function findParents(archives: readonly Ancestry[]): ForestNode[] {
  const forest: Forest = {nodes: new Map(), stepIDs: new Map()}
  for (const {label, set} of archives) {
    if (set.format === 'docker-v1') addV1(forest, set, label)
    else for (const image of set.images) addImage(forest, image, label)
  }
  return withAncestors(inOrder(forest.nodes), new Set(archives.flatMap(wantedIDs)))
}

/**
 * Adds up sizes along the parents.
 *
 * @param nodes parents before children
 * @param sizes one for each node that has a layer, in the same order
 */
export function addSizes(
  nodes: readonly ForestNode[],
  sizes: readonly {readonly size: number; readonly exact: boolean}[],
): SizedNode[] {
  const sized = new Map<string, SizedNode>()
  const remaining = sizes.values()
  for (const {layer, ...node} of nodes) {
    const {size, exact} = (layer && remaining.next().value) ?? {size: 0, exact: true}
    const below = sized.get(node.parent ?? '')
    const virtualSize = size + (below?.virtualSize ?? 0)
    const isWhole = node.missingParent === undefined && (below?.sizeExact ?? true)
    sized.set(node.id, {...node, size, virtualSize, sizeExact: exact && isWhole})
  }
  return [...sized.values()]
}

/** Names the image at its last node. */
function endOf(image: Image): Digest {
  return image.imageID ?? sha256(image.config)
}

interface Draft extends Omit<ForestNode, 'tags' | 'images'> {
  readonly tags: Set<string>
  readonly images: Set<Digest>
}

interface Forest {
  readonly nodes: Map<string, Draft>
  /** The node of each sequence of steps, by the digest over it. */
  readonly stepIDs: Map<Digest, string>
}

function addV1(forest: Forest, set: ImageSet, archive: string): void {
  for (const node of set.v1.values()) {
    if (!forest.nodes.has(node.id)) forest.nodes.set(node.id, v1Draft(node, archive))
  }
  for (const image of set.images) {
    for (const name of image.names) forest.nodes.get(image.v1ID ?? '')?.tags.add(name)
  }
}

function v1Draft(node: V1Node, archive: string): Draft {
  return {
    id: node.id,
    v1ID: node.id,
    ...(node.parent && {parent: node.parent}),
    ...describeStep(node.history),
    empty: false,
    tags: new Set(),
    images: new Set(),
    archive,
    layer: {blob: node.layer, claimedSize: node.claimedSize},
  }
}

function addImage(forest: Forest, image: Image, archive: string): void {
  const steps = stepsOf(image)
  let last: Draft | undefined
  for (const [n, sequence] of sequenceIDs(steps).entries()) {
    const known = forest.nodes.get(forest.stepIDs.get(sequence) ?? '')
    last = known ?? addStep(forest, steps[n]!, {sequence, archive, parent: last?.id})
  }
  last ??= addStep(forest, {}, {sequence: endOf(image), archive, parent: undefined})
  for (const name of image.names) last.tags.add(name)
  last.images.add(endOf(image))
}

function addStep(
  forest: Forest,
  {history, layer, chainID}: Step,
  where: {readonly sequence: Digest; readonly archive: string; readonly parent: string | undefined},
): Draft {
  const {sequence, archive, parent} = where
  const id = chainID === undefined || forest.nodes.has(chainID) ? sequence : chainID
  const draft: Draft = {
    id,
    ...(parent !== undefined && {parent}),
    ...(chainID !== undefined && {chainID}),
    ...(layer?.v1ID !== undefined && {v1ID: layer.v1ID}),
    ...(history !== undefined && describeStep(history)),
    empty: layer === undefined,
    tags: new Set(),
    images: new Set(),
    archive,
    ...(layer !== undefined && {layer}),
  }
  forest.nodes.set(id, draft)
  forest.stepIDs.set(sequence, id)
  return draft
}

function describeStep({created, createdBy}: HistoryEntry): Pick<ForestNode, 'created' | 'createdBy'> {
  return {...(created !== undefined && {created}), ...(createdBy !== undefined && {createdBy})}
}

/** Without recursion: thousands of layers may stand on each other. */
function inOrder(nodes: ReadonlyMap<string, Draft>): ForestNode[] {
  const children = Map.groupBy(nodes.values(), ({parent}) => (parent !== undefined && nodes.has(parent) ? parent : ''))
  for (const siblings of children.values()) siblings.sort(compareAge).reverse()
  const ordered: ForestNode[] = []
  const waiting = [...(children.get('') ?? [])]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    ordered.push(finish(node, nodes))
    for (const child of children.get(node.id) ?? []) waiting.push(child)
  }
  if (ordered.length < nodes.size) throw cycle(nodes, ordered)
  return ordered
}

/** Ids of nodes and images that an archive is asked for. */
function wantedIDs({set, images}: Ancestry): string[] {
  const ids = (images ?? set.images).map((image) => (set.format === 'docker-v1' ? image.v1ID : endOf(image)))
  return [...ids.filter((id) => id !== undefined), ...(images === undefined ? set.v1.keys() : [])]
}

/** @param nodes parents before children */
function withAncestors(nodes: readonly ForestNode[], wanted: ReadonlySet<string>): ForestNode[] {
  const kept = new Set<string>()
  for (const node of nodes.toReversed()) {
    const isWanted = wanted.has(node.id) || node.images.some((id) => wanted.has(id))
    if (isWanted) kept.add(node.id)
    if (kept.has(node.id) && node.parent !== undefined) kept.add(node.parent)
  }
  return nodes.filter(({id}) => kept.has(id))
}

function compareAge(a: Draft, b: Draft): number {
  return age(a) - age(b) || (a.id < b.id ? -1 : 1)
}

/** Milliseconds; what has no readable date comes first. */
function age({created}: Draft): number {
  const time = created === undefined ? Number.NaN : Date.parse(created)
  return Number.isNaN(time) ? Number.MIN_SAFE_INTEGER : time
}

function finish({id, parent, ...draft}: Draft, nodes: ReadonlyMap<string, Draft>): ForestNode {
  const kinship = parent === undefined ? {} : nodes.has(parent) ? {parent} : {missingParent: parent}
  return {id, ...kinship, ...draft, tags: [...draft.tags].sort(), images: [...draft.images]}
}

function cycle(nodes: ReadonlyMap<string, Draft>, ordered: readonly ForestNode[]): ImgtoolError {
  const reached = new Set(ordered.map(({id}) => id))
  const node = [...nodes.values()].find(({id}) => !reached.has(id))
  return new ImgtoolError('PARENT_CYCLE', `Cannot draw layer ${node?.id}: it is its own ancestor`, {
    ...(node !== undefined && {archive: node.archive}),
  })
}
