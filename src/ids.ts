/** Image IDs of archives before docker 1.10, which do not say them: they follow from the bytes of all layers. */
import type {Blob} from './archive/archive.ts'
import type {Digest} from './digest.ts'
import {ImgtoolError} from './errors.ts'
import {whyMissing} from './image/missing.ts'
import type {ImageSet, V1Node} from './image/model.ts'
import {configFromV1, type V1Config} from './image/v1-config.ts'
import {readLayer, startBudget} from './layer/read.ts'
import type {EntrySink} from './layer/tar/parser.ts'
import {defaultLimits, type Limits} from './limits.ts'

export type {V1Config} from './image/v1-config.ts'

/**
 * The configs and image IDs that dockerd 1.10 to 24 gives every layer of an archive before docker 1.10 on `docker load`.
 *
 * @param wanted v1 ids whose ancestry is enough; by default every layer of the archive
 * @returns by v1 id, parents before children; layers whose ancestry or bytes are not all there are left out
 * @throws {ImgtoolError} whatever reading layers throws; each layer is read once, whole
 * @see moby image/tarexport/load.go, legacyLoadImage
 */
export async function resolveV1(
  set: ImageSet,
  options: {readonly limits?: Limits; readonly wanted?: Iterable<string>; readonly signal?: AbortSignal} = {},
): Promise<ReadonlyMap<string, V1Config>> {
  const budget = startBudget(options.limits ?? defaultLimits)
  const configs = new Map<string, V1Config>()
  const diffIDs = new Map<Blob, Digest>()
  for (const node of parentsFirst(set.v1, options.wanted ?? set.v1.keys())) {
    const parent = node.parent === undefined ? undefined : configs.get(node.parent)
    const isCut = node.parent !== undefined && parent === undefined
    if (isCut || whyMissing(node.layer) !== undefined) continue
    // Layers that are links to one another are one blob.
    const known = diffIDs.get(node.layer)
    const diffID =
      known ??
      (await readLayer({index: parent?.diffIDs.length ?? 0, blob: node.layer}, nothing, budget, options)).diffID
    diffIDs.set(node.layer, diffID)
    configs.set(node.id, convert(node, parent, diffID))
  }
  return configs
}

function convert(node: V1Node, parent: V1Config | undefined, diffID: Digest): V1Config {
  try {
    return configFromV1(node.json, parent, diffID)
  } catch (error) {
    throw error instanceof ImgtoolError ? error.within({entry: `${node.id}/json`}) : error
  }
}

/** Each node once, after its parent, without recursion: chains may be thousands long. */
function parentsFirst(nodes: ReadonlyMap<string, V1Node>, wanted: Iterable<string>): V1Node[] {
  const order = new Set<V1Node>()
  for (const id of wanted) {
    const way: V1Node[] = []
    for (let node = nodes.get(id); node !== undefined && !order.has(node); node = nodes.get(node.parent ?? ''))
      way.push(node)
    for (const node of way.reverse()) order.add(node)
  }
  return [...order]
}

const nothing: EntrySink = {
  entry: () => {},
  data: () => {},
  end: () => {},
}
