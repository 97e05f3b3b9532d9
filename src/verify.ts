/** Verifies archives: recomputes everything that documents and names say of bytes, and collects all that is wrong or odd. */
import {existsSync} from 'node:fs'
import type {Archive, Blob} from './archive/archive.ts'
import type {Digest} from './digest.ts'
import {isImgtoolError} from './errors.ts'
import {chainIDs} from './image/chain.ts'
import {dockerManifestName} from './image/docker-archive.ts'
import type {Format, ImageSet, Platform} from './image/model.ts'
import {indexName} from './image/oci.ts'
import {configFromV1, type V1Config} from './image/v1-config.ts'
import {startBudget} from './layer/read.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {type Opened, openReference, requireTransport, selectImages, whyLost} from './open.ts'
import {parseReference, type Reference} from './reference.ts'
import {printable} from './text.ts'
import {startHashing} from './threads.ts'
import {type BlobFacts, type BlobTools, checkBlob, claimNames} from './verify/blobs.ts'
import {byImageID, checkIndex, checkRepositories, surveyDocker} from './verify/docker.ts'
import {type Finding, Findings, isAboutData} from './verify/findings.ts'
import {checkIntegrity, type Integrity} from './verify/integrity.ts'
import {surveyOci} from './verify/oci.ts'
import {Survey, type SurveyedImage} from './verify/survey.ts'
import {checkIDs, checkParents, surveyDirectories, surveyV1Images, type V1Directory} from './verify/v1.ts'

export type {Evidence, Finding, FindingCode, Severity} from './verify/findings.ts'
export {findingCodes} from './verify/findings.ts'
export {type Integrity, parseIntegrity} from './verify/integrity.ts'

/** An image as it was verified. */
export interface VerifiedImage {
  /** Its first name, or what stands for one: an id, `item 2 of "manifest.json"`. Findings call it by this. */
  readonly label: string
  readonly names: readonly string[]
  /** Computed: of the config; before docker 1.10, of the config that dockerd makes of all layers. */
  readonly imageID?: Digest
  readonly v1ID?: string
  readonly manifestDigest?: Digest
  /** Computed from the bytes, base first; null for a layer that cannot be decompressed or is missing. */
  readonly diffIDs: readonly (Digest | null)[]
  /** Of {@link diffIDs}, as far up as they are known. */
  readonly chainIDs: readonly Digest[]
}

/** What is known of an archive after everything in it was read. */
export interface Verification {
  /** As the user named it. */
  readonly archive: string
  readonly format: Format
  readonly images: readonly VerifiedImage[]
  /** Layers that were read, each stored layer once. */
  readonly layers: number
  /** Blobs and documents that were hashed, layers among them. */
  readonly blobs: number
  /** Stored bytes of these. */
  readonly bytes: number
  /** In the order in which they were found. */
  readonly findings: readonly Finding[]
  /** Findings that are not in the list, because one code had too many. */
  readonly omitted: number
  readonly integrity?: Integrity
}

export interface VerifyOptions {
  readonly limits?: Limits
  /** Only images for this platform. */
  readonly platform?: Platform
  /** Of the archive itself, as `parseIntegrity` gives it. */
  readonly integrity?: string | undefined
  readonly signal?: AbortSignal
}

/**
 * Verifies an archive, or the images of it that a reference means; documents and names are verified all the same.
 *
 * Every layer is read once, whole; time goes with bytes, memory with the entries of the largest layer. The limits of one image
 * hold for all layers of the archive together.
 *
 * @throws {ImgtoolError} where there is nothing to verify: the archive cannot be opened, is no image, or has not the image that
 *   was asked for. Whatever else is wrong is a finding
 */
export async function verifyArchive(reference: Reference | string, options: VerifyOptions = {}): Promise<Verification> {
  const parsed = typeof reference === 'string' ? parseReference(reference, existsSync) : reference
  const limits = options.limits ?? defaultLimits
  const findings = new Findings()
  const integrity =
    options.integrity === undefined ? undefined : await checkIntegrity(parsed.path, options.integrity, findings)
  const opened = await openReference(parsed, limits)
  await using archive = opened.archive
  const survey = new Survey(archive, limits, findings)
  const read = await readLeniently(opened)
  if (read.set !== undefined) requireTransport(parsed, archive, read.set)
  const directories = await surveyDocuments(survey)
  const isWanted = read.set === undefined ? () => true : selector({reference: parsed, archive, set: read.set}, options)
  const wanted = survey.images.filter(isWanted)
  claimNames(survey)
  const facts = await readBlobs(survey, wanted, options)
  checkDirectories(survey, directories, facts)
  noteUnreferenced(survey)
  // What the reader refuses is mostly found by then, and said better.
  if (read.error !== undefined && !findings.has('error')) findings.addError(read.error, {})
  const conversion = new Conversion(isV1(archive) ? directories : new Map(), facts)
  const images = mergeTwins(wanted).map((image) => verifiedImage(image, conversion, facts))
  const blobs = [...facts.keys()]
  return {
    archive: archive.label,
    format: read.set?.format ?? formatOf(archive),
    images,
    layers: blobs.filter((blob) => survey.layers.has(blob)).length,
    blobs: blobs.length,
    bytes: blobs.reduce((sum, {size}) => sum + size, 0),
    findings: findings.list(),
    omitted: findings.omitted,
    ...(integrity !== undefined && {integrity}),
  }
}

/** Whether an archive is as it says. Warnings and notes are no reason to say no. */
export function isSound({findings}: Verification): boolean {
  return !findings.some(({severity}) => severity === 'error')
}

/** What the other commands would read of the archive, or why they would not. */
async function readLeniently({readImages}: Opened) {
  try {
    return {set: await readImages()}
  } catch (error) {
    if (!isAboutData(error) || error.code === 'FORMAT_UNKNOWN') throw error
    return {error}
  }
}

/** @returns the directories of v1 layers, if there are any */
async function surveyDocuments(survey: Survey): Promise<ReadonlyMap<string, V1Directory>> {
  const {members} = survey.archive
  const hasManifest = members.has(dockerManifestName)
  const hasIndex = members.has(indexName)
  const docker = hasManifest ? await surveyDocker(survey) : []
  if (hasIndex) {
    await surveyOci(survey, byImageID(docker))
    if (hasManifest) checkIndex(survey, docker, survey.images.slice(docker.length))
  }
  const areImages = isV1(survey.archive)
  const directories = await surveyDirectories(survey, areImages)
  if (areImages) await surveyV1Images(survey, directories)
  else if (hasManifest) await checkRepositories(survey, docker)
  checkParents(survey, directories, docker)
  return directories
}

/** Whether the directories of layers are all that the archive has. */
function isV1({members}: Archive): boolean {
  return !members.has(dockerManifestName) && !members.has(indexName)
}

function formatOf({members}: Archive): Format {
  if (members.has(dockerManifestName)) return 'docker-archive'
  return members.has(indexName) ? 'oci' : 'docker-v1'
}

/** Which of the surveyed images a reference and a platform mean: none where it is one whose documents are damaged. */
function selector(source: {reference: Reference; archive: Archive; set: ImageSet}, {platform}: VerifyOptions) {
  const selected = selectUnlessLost(source, platform)
  if (selected.length === source.set.images.length) return () => true
  const ids = new Set(selected.flatMap(({imageID, manifestDigest, v1ID}) => [imageID ?? v1ID, manifestDigest]))
  ids.delete(undefined)
  return ({imageID, manifestDigest, v1ID}: SurveyedImage) => ids.has(imageID ?? v1ID) || ids.has(manifestDigest)
}

function selectUnlessLost(
  source: {reference: Reference; archive: Archive; set: ImageSet},
  platform: Platform | undefined,
) {
  try {
    return selectImages({...source, [Symbol.asyncDispose]: async () => {}}, platform ? {platform} : {})
  } catch (error) {
    if (error === whyLost(source, platform)) return []
    throw error
  }
}

/** Reads every blob but the layers of images that nobody asked for. */
async function readBlobs(
  survey: Survey,
  wanted: readonly SurveyedImage[],
  {limits = defaultLimits, signal}: VerifyOptions,
): Promise<Map<Blob, BlobFacts>> {
  const asked = new Set(wanted.flatMap(({layers}) => layers))
  const others = new Set(survey.images.flatMap(({layers}) => layers).filter((blob) => !asked.has(blob)))
  const blobs = survey.blobs.filter((blob) => !others.has(blob))
  const facts = new Map<Blob, BlobFacts>()
  await using hashing = startHashing(blobs.reduce((sum, {size}) => sum + size, 0))
  const tools: BlobTools = {
    budget: startBudget(limits),
    options: {signal, tools: hashing.tools},
  }
  for (const blob of blobs) {
    signal?.throwIfAborted()
    facts.set(blob, await checkBlob(survey, blob, tools))
  }
  return facts
}

/** Ids since docker 1.10 are checked with what the configs say, so that one damaged layer is not the damage of all above it. */
function checkDirectories(
  survey: Survey,
  directories: ReadonlyMap<string, V1Directory>,
  facts: ReadonlyMap<Blob, BlobFacts>,
): void {
  if (!survey.archive.members.has(dockerManifestName)) return
  checkIDs(survey, directories, (layer) => {
    const claim = survey.claimsOf(layer).find(({kind}) => kind === 'diffID')
    return (claim?.value as Digest | undefined) ?? facts.get(layer)?.diffIDs.get('sha256')
  })
}

function noteUnreferenced({archive, findings, used}: Survey): void {
  for (const {name, blob} of archive.members.values()) {
    if (blob === undefined || used.has(name)) continue
    findings.add({
      member: name,
      severity: 'note',
      code: 'BLOB_UNREFERENCED',
      message: `No document leads to "${printable(name)}", of ${blob.size} bytes`,
    })
  }
}

/** An image that several names or documents lead to is one image; the first document counts. */
function mergeTwins(images: readonly SurveyedImage[]): SurveyedImage[] {
  const groups = Map.groupBy(images, (image) => image.imageID ?? image.v1ID ?? image.manifestDigest ?? image.label)
  return [...groups.values()].map((twins) => ({
    ...Object.assign({}, ...twins.toReversed()),
    names: [...new Set(twins.flatMap(({names}) => names))],
  }))
}

function verifiedImage(
  image: SurveyedImage,
  conversion: Conversion,
  facts: ReadonlyMap<Blob, BlobFacts>,
): VerifiedImage {
  const {label, names, v1ID, manifestDigest, layers} = image
  const diffIDs = layers.map((blob, at) => diffIDOf(blob && facts.get(blob), image.diffIDs[at]))
  const known = diffIDs.slice(0, [...diffIDs, null].indexOf(null)) as Digest[]
  const imageID = image.imageID ?? (v1ID === undefined ? undefined : conversion.imageID(v1ID))
  return {
    label,
    names,
    ...(imageID !== undefined && {imageID}),
    ...(v1ID !== undefined && {v1ID}),
    ...(manifestDigest !== undefined && {manifestDigest}),
    diffIDs,
    chainIDs: chainIDs(known),
  }
}

function diffIDOf(facts: BlobFacts | undefined, claimed: Digest | undefined): Digest | null {
  const computed = [...(facts?.diffIDs.values() ?? [])]
  return computed.find((digest) => digest === claimed) ?? computed[0] ?? null
}

/** Layers of an image that dockerd loads at most. @see moby layer/layer_store.go, maxLayerDepth */
const maximumDepth = 125

/** The configs that dockerd makes of images before docker 1.10, by v1 id; images share ancestors. */
class Conversion {
  readonly #directories: ReadonlyMap<string, V1Directory>
  readonly #diffIDOf: (layer: Blob) => Digest | undefined
  readonly #known = new Map<string, V1Config | undefined>()

  constructor(directories: ReadonlyMap<string, V1Directory>, facts: ReadonlyMap<Blob, BlobFacts>) {
    this.#directories = directories
    this.#diffIDOf = (layer) => facts.get(layer)?.diffIDs.get('sha256')
  }

  /** Undefined when not all of the image is there, or dockerd would not load it. */
  imageID(v1ID: string): Digest | undefined {
    const chain: V1Directory[] = []
    for (let at = this.#directories.get(v1ID); at !== undefined; at = this.#directories.get(at.parent ?? '')) {
      if (chain.push(at) > maximumDepth) return undefined
    }
    for (const directory of chain.reverse()) {
      if (!this.#known.has(directory.id)) this.#known.set(directory.id, this.#convert(directory))
    }
    return this.#known.get(v1ID)?.imageID
  }

  #convert({parent, json, layer}: V1Directory): V1Config | undefined {
    const below = parent === undefined ? undefined : this.#known.get(parent)
    const diffID = layer && this.#diffIDOf(layer)
    if (diffID === undefined || (parent !== undefined && below === undefined)) return undefined
    try {
      return configFromV1(json, below, diffID)
    } catch (error) {
      // Docker would refuse the document; that is no damage of the archive.
      if (!isImgtoolError(error)) throw error
      return undefined
    }
  }
}
