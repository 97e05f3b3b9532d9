/** What the documents of an OCI layout say, each as far as it can be read. */
import type {Blob} from '../archive/archive.ts'
import {type Digest, parseDigest} from '../digest.ts'
import type {ConfigFacts} from '../image/config.ts'
import {parseDocument} from '../image/json.ts'
import {namesOf} from '../image/names.ts'
import {
  blobName,
  configTypes,
  indexName,
  indexTypes,
  isAttestation,
  isElsewhere,
  layoutName,
  manifestTypes,
  withVariant,
} from '../image/oci.ts'
import {type Descriptor, indexSchema, layoutSchema, type ManifestDocument, manifestSchema} from '../image/schemas.ts'
import {checkLimit} from '../limits.ts'
import {fromText, printable, printableText} from '../text.ts'
import type {Survey, SurveyedImage} from './survey.ts'

/** A descriptor with what led to it. */
interface Step {
  readonly descriptor: Descriptor
  readonly depth: number
  readonly annotations: Readonly<Record<string, string>>
  /** `manifests[0] of "index.json"`. */
  readonly from: string
}

/**
 * Surveys a layout.
 *
 * @param covered images that `manifest.json` beside the layout describes, by image ID: that document is the one that counts
 */
export async function surveyOci(survey: Survey, covered: ReadonlyMap<Digest, SurveyedImage>): Promise<void> {
  await checkLayoutVersion(survey)
  const seen = new Map<string, SurveyedImage | undefined>()
  const images: SurveyedImage[] = []
  for await (const step of walkIndexes(survey)) {
    const {digest} = step.descriptor
    const names = namesOf(step.annotations)
    const label = names.names[0] ?? digest
    const key = `${absenceAt(step)} ${digest}`
    const known = seen.get(key)
    const image = known ?? (seen.has(key) ? undefined : await surveyManifest(survey, step, label, covered))
    seen.set(key, image)
    if (image !== undefined) images.push({...image, label, names: names.names})
  }
  survey.checkNames(images)
  survey.images.push(...images)
}

async function checkLayoutVersion({archive, documents, findings, used}: Survey): Promise<void> {
  const place = {member: layoutName}
  const blob = await findings.attempt(place, () => archive.blob(layoutName))
  used.add(layoutName)
  if (blob === undefined) {
    findings.add({severity: 'warning', code: 'VERSION_UNKNOWN', message: `The file "${layoutName}" is missing`})
    return
  }
  const document = await findings.attempt(place, async () =>
    parseDocument(await documents.read(blob), layoutName, layoutSchema),
  )
  if (document === undefined || /^1\.\d+\.\d+$/.test(document.imageLayoutVersion)) return
  findings.add({
    ...place,
    severity: 'error',
    code: 'VERSION_UNKNOWN',
    message: 'The version of the layout is unknown',
    expected: {value: '1.0.0', from: 'the OCI specification'},
    found: {value: printableText(document.imageLayoutVersion), from: `imageLayoutVersion of "${layoutName}"`},
  })
}

/** Walks the indexes depth first, in order; yields what is no index. */
async function* walkIndexes(survey: Survey): AsyncGenerator<Step> {
  const {findings, limits} = survey
  const top = await survey.require(indexName, 'the index', {member: indexName})
  if (top === undefined) return
  const entered = new Set<string>()
  const open = await readIndex(survey, top, {depth: 0, annotations: {}, name: indexName})
  for (let step = open.pop(), count = 1; step !== undefined; step = open.pop(), count++) {
    const {depth, descriptor} = step
    const isWithin = await findings.attempt({}, () => {
      checkLimit(limits, 'descriptors', count, 'descriptors in the indexes')
      checkLimit(limits, 'indexDepth', depth, 'nested indexes')
      return true
    })
    if (!isWithin) return
    const annotations = {...step.annotations, ...descriptor.annotations}
    if (!indexTypes.has(descriptor.mediaType ?? '')) yield {...step, annotations}
    else if (!entered.has(`${absenceAt(step)} ${descriptor.digest}`)) {
      entered.add(`${absenceAt(step)} ${descriptor.digest}`)
      const [name] = namesOf(annotations).names
      const place = name === undefined ? {} : {image: name}
      const blob = await followDescriptor(survey, descriptor, step.from, place, 'the index', absenceAt(step))
      if (blob !== undefined) {
        const {mediaType} = descriptor
        open.push(...(await readIndex(survey, blob, {depth, annotations, name: printable(blob.name), mediaType})))
      }
    }
  }
}

/** An index may name platforms that were not saved. What `index.json` names is what the layout is there for. */
function absenceAt({depth, descriptor}: Step): 'BLOB_ABSENT' | 'BLOB_MISSING' {
  return depth === 1 && !isAttestation(descriptor) ? 'BLOB_MISSING' : 'BLOB_ABSENT'
}

/** The descriptors of an index, last first. */
async function readIndex(
  {documents, findings}: Survey,
  blob: Blob,
  {
    depth,
    annotations,
    name,
    mediaType,
  }: Pick<Step, 'depth' | 'annotations'> & {name: string; mediaType?: string | undefined},
): Promise<Step[]> {
  const index = await findings.attempt({member: blob.name}, async () =>
    parseDocument(await documents.read(blob), blob.name, indexSchema),
  )
  if (index === undefined) return []
  checkEmbeddedType(findings, index.mediaType, mediaType, blob)
  return index.manifests
    .map((descriptor, at) => ({descriptor, depth: depth + 1, annotations, from: `manifests[${at}] of "${name}"`}))
    .reverse()
}

/** The blob that a descriptor means; an index may name what is not there. */
async function followDescriptor(
  survey: Survey,
  descriptor: Descriptor,
  from: string,
  place: {readonly image?: string; readonly layer?: number},
  what: string,
  absence: 'BLOB_ABSENT' | 'BLOB_MISSING',
): Promise<Blob | undefined> {
  const digest = await survey.findings.attempt(place, () => parseDigest(descriptor.digest, `The digest of ${from}`))
  if (digest === undefined) return undefined
  const name = fromText(blobName(digest))
  const isThere = survey.archive.members.has(name)
  const blob = await survey.use(name, place)
  if (blob !== undefined) {
    survey.claim(blob, {...place, kind: 'digest', value: digest, from})
    survey.claim(blob, {...place, kind: 'size', value: String(descriptor.size), from})
  } else if (!isThere && absence === 'BLOB_MISSING') survey.miss(name, what, place)
  else if (!isThere) {
    survey.findings.add({
      ...place,
      severity: 'warning',
      code: 'BLOB_ABSENT',
      message: `${capitalized(what)} that an index names is not in the archive`,
      expected: {value: digest, from},
    })
  }
  return blob
}

async function surveyManifest(
  survey: Survey,
  step: Step,
  image: string,
  covered: ReadonlyMap<Digest, SurveyedImage>,
): Promise<SurveyedImage | undefined> {
  const {documents, findings} = survey
  const {descriptor, from} = step
  const blob = await followDescriptor(survey, descriptor, from, {image}, 'the manifest', absenceAt(step))
  if (blob === undefined) return undefined
  if (!manifestTypes.has(descriptor.mediaType ?? 'application/vnd.oci.image.manifest.v1+json')) {
    noteType(survey, descriptor, from, image)
    return undefined
  }
  const manifest = await findings.attempt({image, member: blob.name}, async () =>
    parseDocument(await documents.read(blob), blob.name, manifestSchema),
  )
  if (manifest === undefined) return undefined
  checkEmbeddedType(findings, manifest.mediaType, descriptor.mediaType, blob)
  const name = `the manifest "${printable(blob.name)}"`
  const config = await followDescriptor(
    survey,
    manifest.config,
    `config of ${name}`,
    {image},
    'the config',
    'BLOB_MISSING',
  )
  const isImage = configTypes.has(manifest.config.mediaType ?? '') && !isAttestation(descriptor)
  if (!isImage || config === undefined) {
    await followLayers(survey, manifest, name, image)
    return undefined
  }
  const facts = await survey.readConfig(config, image)
  const twin = facts && covered.get(facts.imageID)
  const blobs = await followLayers(survey, manifest, name, image)
  compareConfig(survey, {manifest, name, image, blobs, config, facts, twin})
  return {
    label: image,
    names: [],
    ...(facts !== undefined && {imageID: facts.imageID, platform: withVariant(facts.platform, descriptor)}),
    manifestDigest: descriptor.digest as Digest,
    diffIDs: facts?.diffIDs ?? [],
    layers: blobs,
  }
}

async function followLayers(
  survey: Survey,
  {layers}: ManifestDocument,
  name: string,
  image: string,
): Promise<(Blob | undefined)[]> {
  const blobs: (Blob | undefined)[] = []
  for (const [layer, descriptor] of layers.entries()) {
    const from = `layers[${layer}] of ${name}`
    const absence = isElsewhere(descriptor) ? 'BLOB_ABSENT' : 'BLOB_MISSING'
    const blob = await followDescriptor(survey, descriptor, from, {image, layer}, `layer ${layer}`, absence)
    if (blob !== undefined && descriptor.mediaType !== undefined) {
      survey.claim(blob, {kind: 'mediaType', value: descriptor.mediaType, from, image, layer})
    }
    blobs.push(blob)
  }
  return blobs
}

interface ManifestFacts {
  readonly manifest: ManifestDocument
  readonly name: string
  readonly image: string
  readonly blobs: readonly (Blob | undefined)[]
  readonly config: Blob
  readonly facts: ConfigFacts | undefined
  readonly twin: SurveyedImage | undefined
}

/** Where `manifest.json` describes the same image, it is right about the layers, and docker is known to be wrong here. */
function compareConfig(survey: Survey, {manifest, name, image, blobs, config, facts, twin}: ManifestFacts): void {
  for (const blob of blobs) if (blob !== undefined) survey.layers.add(blob)
  if (facts === undefined) return
  const severity = twin === undefined ? 'error' : 'warning'
  survey.checkCount(manifest.layers.length, facts, name, {image}, severity)
  if (twin === undefined) {
    const from = `the config "${printable(config.name)}"`
    for (const [at, blob] of blobs.entries()) survey.claimLayer(blob, at, facts.diffIDs[at], from, image)
  } else if (manifest.layers.length === twin.layers.length && blobs.some((blob, at) => blob !== twin.layers[at])) {
    survey.findings.add({
      image,
      severity,
      code: 'LAYERS_MISMATCH',
      message: `The layers of ${name} are not in the order of manifest.json, as docker 25.0.0 wrote them`,
      expected: {value: listNames(twin.layers), from: 'Layers in "manifest.json"'},
      found: {value: listNames(blobs), from: name},
    })
  }
}

function listNames(blobs: readonly (Blob | undefined)[]): string {
  return blobs.map((blob) => (blob === undefined ? 'missing' : printable(blob.name))).join(', ')
}

/** A document that says it is something else than its descriptor can be read in two ways. @see CVE-2021-41190 */
function checkEmbeddedType(
  findings: Survey['findings'],
  embedded: string | undefined,
  claimed: string | undefined,
  blob: Blob,
): void {
  if (embedded === undefined || claimed === undefined || embedded === claimed) return
  findings.add({
    member: blob.name,
    severity: 'error',
    code: 'MEDIA_TYPE_MISMATCH',
    message: `"${printable(blob.name)}" says that it is something else than its descriptor says`,
    expected: {value: printableText(claimed), from: 'mediaType of its descriptor'},
    found: {value: printableText(embedded), from: 'mediaType in the document'},
  })
}

function noteType({findings}: Survey, {mediaType = ''}: Descriptor, from: string, image: string): void {
  findings.add({
    image,
    severity: 'note',
    code: 'MEDIA_TYPE_UNKNOWN',
    message: 'What an index names is no image, as its media type says',
    found: {value: printableText(mediaType), from: `mediaType of ${from}`},
  })
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
