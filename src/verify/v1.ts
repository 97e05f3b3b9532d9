/**
 * The directories of v1 layers, `<id>/{VERSION,json,layer.tar}`: before docker 1.10 they are the images; until docker 24, and
 * beside the archives of skopeo and podman, they repeat for old readers what `manifest.json` says.
 */
import type {Blob} from '../archive/archive.ts'
import {type Digest, digestHex, sha256} from '../digest.ts'
import {repositoriesName} from '../image/docker-v1.ts'
import {encodeString, parseDocument as parseGo, type RawValue, splitObject} from '../image/go-json.ts'
import {parseDocument} from '../image/json.ts'
import {repositoriesSchema, type V1Document, v1Schema} from '../image/schemas.ts'
import {encodeSorted} from '../image/v1-config.ts'
import {checkLimit} from '../limits.ts'
import {type ByteString, fromText, printable, printableText} from '../text.ts'
import type {Survey, SurveyedImage} from './survey.ts'

/** A directory of a layer. */
export interface V1Directory {
  readonly id: string
  readonly parent: string | undefined
  readonly json: Buffer
  readonly layer: Blob | undefined
}

/** Reads every directory, and checks that the directories fit each other. @param areImages as before docker 1.10 */
export async function surveyDirectories(survey: Survey, areImages: boolean): Promise<ReadonlyMap<string, V1Directory>> {
  const directories = new Map<string, V1Directory>()
  for (const name of survey.archive.members.keys()) {
    const [, id] = /^([0-9a-f]{64})\/json$/.exec(name) ?? []
    const directory = id === undefined ? undefined : await surveyDirectory(survey, id, areImages)
    if (directory !== undefined) directories.set(directory.id, directory)
  }
  for (const {id, parent} of directories.values()) {
    if (parent !== undefined && !directories.has(parent)) {
      survey.findings.add({
        member: id,
        severity: 'error',
        code: 'PARENT_MISSING',
        message: `The parent of the v1 layer ${id} is not in the archive`,
        expected: {value: printableText(parent), from: `parent in "${id}/json"`},
      })
    }
  }
  checkCycles(survey, directories)
  return directories
}

async function surveyDirectory(survey: Survey, id: string, isImage: boolean): Promise<V1Directory | undefined> {
  const {documents, findings} = survey
  const [name, place] = [`${id}/json`, {member: `${id}/json`}]
  const blob = await survey.use(name, place)
  const json = blob && (await findings.attempt(place, () => documents.read(blob)))
  const document = json && (await findings.attempt(place, () => parseDocument(json, name, v1Schema)))
  const layerName = `${id}/layer.tar`
  const layerPlace = {member: layerName}
  // skopeo has manifest.json name the file that this is a link to.
  const layer = isImage
    ? await survey.require(layerName, 'a v1 layer', layerPlace)
    : await survey.use(layerName, layerPlace)
  if (layer !== undefined) survey.layers.add(layer)
  await checkVersion(survey, id)
  if (document === undefined || json === undefined) return undefined
  if (document.id !== undefined && document.id !== id) {
    findings.add({
      ...place,
      severity: 'error',
      code: 'V1_ID_MISMATCH',
      message: 'A v1 layer says that it has another id than its directory',
      expected: {value: id, from: 'the name of its directory'},
      found: {value: printableText(document.id), from: `id in "${name}"`},
    })
  }
  if (layer !== undefined && isImage) claimSize(survey, layer, document, name)
  return {id, parent: document.parent || undefined, json, layer}
}

function claimSize(survey: Survey, layer: Blob, document: V1Document, name: string): void {
  if (!document.Size || document.Size < 0) return
  survey.claim(layer, {kind: 'contentSize', value: String(document.Size), from: `Size in "${name}"`})
}

async function checkVersion(survey: Survey, id: string): Promise<void> {
  const name = `${id}/VERSION`
  const blob = await survey.use(name, {member: name})
  const version = blob && (await survey.findings.attempt({member: name}, () => blob.read(0, 64)))
  const found = version?.toString('latin1').trim()
  if (found === '1.0') return
  survey.findings.add({
    member: name,
    severity: 'note',
    code: 'VERSION_UNKNOWN',
    message: 'A v1 layer has no version, or an unknown one',
    expected: {value: '1.0', from: 'every version of docker save'},
    found: {value: found === undefined ? 'nothing' : printableText(found), from: `"${name}"`},
  })
}

function checkCycles({findings}: Survey, directories: ReadonlyMap<string, V1Directory>): void {
  const cleared = new Set<string>()
  for (const start of directories.keys()) {
    const way = new Set<string>()
    let at: string | undefined = start
    for (
      ;
      at !== undefined && directories.has(at) && !cleared.has(at) && !way.has(at);
      at = directories.get(at)?.parent
    )
      way.add(at)
    if (at !== undefined && way.has(at)) {
      findings.add({
        member: at,
        severity: 'error',
        code: 'PARENT_CYCLE',
        message: `The v1 layer ${at} is its own ancestor`,
      })
    }
    for (const id of way) cleared.add(id)
  }
}

/** Names and images before docker 1.10. */
export async function surveyV1Images(survey: Survey, directories: ReadonlyMap<string, V1Directory>): Promise<void> {
  const {documents, findings} = survey
  const place = {member: repositoriesName}
  const blob = await survey.use(repositoriesName, place)
  const document = await findings.attempt(place, async () =>
    blob === undefined ? undefined : parseDocument(await documents.read(blob), repositoriesName, repositoriesSchema),
  )
  const names = new Map<string, string[]>()
  for (const [repository, tags] of document ?? []) {
    for (const [tag, id] of tags) {
      if (directories.has(id)) names.set(id, [...(names.get(id) ?? []), `${repository}:${tag}`])
      else survey.miss(fromText(`${id}/json`), `the image that ${printableText(`${repository}:${tag}`)} names`, place)
    }
  }
  await findings.attempt({}, () => addImages(survey, directories, names))
  if (directories.size > 0) {
    findings.add({
      severity: 'note',
      code: 'V1_ID_UNCHECKED',
      message:
        'Ids of layers before docker 1.10 are random: they cannot be checked, and neither can the bytes they stand for',
    })
  }
}

/** The named images, and those that have neither name nor child. */
function addImages(
  {images, limits}: Survey,
  directories: ReadonlyMap<string, V1Directory>,
  names: ReadonlyMap<string, readonly string[]>,
): void {
  const parents = new Set([...directories.values()].map(({parent}) => parent))
  const others = [...directories.keys()].filter((id) => !names.has(id) && !parents.has(id))
  // Many tops on one long chain: the layers of all images together may be the square of what the archive holds.
  let layers = 0
  for (const id of [...names.keys(), ...others]) {
    const image = toImage(directories, id, names.get(id) ?? [], limits.parents)
    layers += image.layers.length
    checkLimit(limits, 'members', layers, 'layers of all images of the archive')
    images.push(image)
  }
}

function toImage(
  directories: ReadonlyMap<string, V1Directory>,
  v1ID: string,
  names: readonly string[],
  maximum: number,
): SurveyedImage {
  const layers: (Blob | undefined)[] = []
  for (
    let at = directories.get(v1ID);
    at !== undefined && layers.length < maximum;
    at = directories.get(at.parent ?? '')
  ) {
    layers.push(at.layer)
  }
  return {label: names[0] ?? v1ID, names, v1ID, diffIDs: [], layers: layers.reverse()}
}

/** Compares the directories with the order of layers that `manifest.json` has. */
export function checkParents(
  {findings}: Survey,
  directories: ReadonlyMap<string, V1Directory>,
  images: readonly SurveyedImage[],
): void {
  const below = layersBelow(directories)
  for (const {label, layers} of images) {
    for (const [at, layer] of layers.entries()) {
      const expected = at === 0 ? undefined : layers[at - 1]
      const recorded = layer && below.get(layer)
      if (recorded === undefined || recorded.has(expected) || (expected && !below.has(expected))) continue
      findings.add({
        image: label,
        layer: at,
        severity: 'error',
        code: 'PARENT_MISMATCH',
        message: 'The parent of a v1 layer is not the layer below it',
        expected: {value: nameOf(expected), from: 'Layers in "manifest.json"'},
        found: {value: [...recorded].map(nameOf).join(', '), from: `parent in the json beside "${nameOf(layer)}"`},
      })
    }
  }
}

/** The layers of the parents of each layer; layers with the same bytes may be one blob under several ids. */
function layersBelow(directories: ReadonlyMap<string, V1Directory>): Map<Blob, Set<Blob | undefined>> {
  const below = new Map<Blob, Set<Blob | undefined>>()
  for (const {layer, parent} of directories.values()) {
    if (layer === undefined) continue
    const known = below.get(layer) ?? new Set()
    below.set(layer, known.add(parent === undefined ? undefined : directories.get(parent)?.layer))
  }
  return below
}

function nameOf(layer: Blob | undefined): string {
  return layer === undefined ? 'none' : printable(layer.name)
}

/**
 * Recomputes the ids of directories since docker 1.10, which are digests of their json and the chainID.
 *
 * @param diffIDOf what documents say, and where they are silent what the bytes are
 * @see moby image/v1/imagev1.go, CreateID; containers/image docker/internal/tarfile/writer.go
 */
export function checkIDs(
  {findings}: Survey,
  directories: ReadonlyMap<string, V1Directory>,
  diffIDOf: (layer: Blob) => Digest | undefined,
): void {
  const chains = chainsOf(directories, diffIDOf)
  const wrong: {readonly id: string; readonly computed: string}[] = []
  let known = 0
  for (const {id, parent, json} of directories.values()) {
    const chainID = chains.get(id)
    if (chainID === undefined) continue
    const candidates = candidateIDs(json.toString('latin1'), chainID, parent)
    if (candidates.includes(id)) known++
    else wrong.push({id, computed: candidates[0] ?? 'nothing'})
  }
  if (wrong.length === 0) return
  if (known === 0) {
    findings.add({
      severity: 'note',
      code: 'V1_ID_UNCHECKED',
      message: 'The v1 ids are made neither as docker makes them nor as skopeo and podman do, and cannot be checked',
    })
    return
  }
  for (const {id, computed} of wrong) {
    findings.add({
      member: `${id}/json`,
      severity: 'error',
      code: 'V1_ID_MISMATCH',
      message: 'A v1 layer does not have the id that follows from its json and its layers, as the others have',
      expected: {value: id, from: 'the name of its directory'},
      found: {value: computed, from: `sha256 of "${id}/json" with the chainID of the layers`},
    })
  }
}

/** The chainID of each directory whose ancestry is there; parents first, without recursion. */
function chainsOf(
  directories: ReadonlyMap<string, V1Directory>,
  diffIDOf: (layer: Blob) => Digest | undefined,
): Map<string, Digest> {
  const chains = new Map<string, Digest>()
  for (const start of directories.values()) {
    const way = new Set<V1Directory>()
    let at: V1Directory | undefined = start
    while (at !== undefined && !chains.has(at.id) && !way.has(at)) {
      way.add(at)
      at = directories.get(at.parent ?? '')
    }
    for (const {id, layer, parent} of [...way].reverse()) {
      const diffID = layer && diffIDOf(layer)
      const below = parent === undefined ? undefined : chains.get(parent)
      if (diffID === undefined || (parent !== undefined && below === undefined)) continue
      chains.set(id, below === undefined ? diffID : sha256(`${below} ${diffID}`))
    }
  }
  return chains
}

/** The ids that tools would give; docker leaves the system out of all layers but the topmost. */
function candidateIDs(json: ByteString, chainID: Digest, parent: string | undefined): string[] {
  let members: Map<ByteString, RawValue>
  try {
    members = new Map(splitObject(parseGo(json)))
  } catch {
    return []
  }
  members.delete('id')
  members.set('layer_id', encodeString(chainID))
  const skopeo = new Map(members)
  if (parent !== undefined) members.set('parent', encodeString(`sha256:${parent}`))
  const inner = new Map(members)
  inner.delete('os')
  return [inner, members, skopeo].map((form) => digestHex(sha256(Buffer.from(encodeSorted(form), 'latin1'))))
}
