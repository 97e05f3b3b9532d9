/** What `manifest.json` and `repositories` of a docker archive say, each item as far as it can be read. */
import * as v from 'valibot'
import type {Blob} from '../archive/archive.ts'
import {type Digest, digestHex, isID, parseDigest} from '../digest.ts'
import type {ConfigFacts} from '../image/config.ts'
import {dockerManifestName} from '../image/docker-archive.ts'
import {repositoriesName} from '../image/docker-v1.ts'
import {parseDocument} from '../image/json.ts'
import {familiarName} from '../image/names.ts'
import {descriptorSchema, dockerManifestSchema, repositoriesSchema} from '../image/schemas.ts'
import {fromText, printable, printableText} from '../text.ts'
import type {Survey, SurveyedImage} from './survey.ts'

type Item = v.InferOutput<typeof dockerManifestSchema>[number]

/** What docker 25 and later add to an item: the descriptor of each layer, by diffID. */
const sourcesSchema = v.array(v.object({LayerSources: v.nullish(v.record(v.string(), descriptorSchema))}))
type Sources = NonNullable<v.InferOutput<typeof sourcesSchema>[number]['LayerSources']>

/** @returns the images of `manifest.json`, which are added to the survey, too */
export async function surveyDocker(survey: Survey): Promise<SurveyedImage[]> {
  const {documents, findings} = survey
  const place = {member: dockerManifestName}
  const blob = await survey.require(dockerManifestName, 'the manifest', place)
  const bytes = blob && (await findings.attempt(place, () => documents.read(blob)))
  const items = bytes && (await findings.attempt(place, () => parseDocument(bytes, place.member, dockerManifestSchema)))
  if (bytes === undefined || items === undefined) return []
  const sources = v.safeParse(sourcesSchema, JSON.parse(bytes.toString()))
  const histories = new Map<string, ConfigFacts['history']>()
  const images: SurveyedImage[] = []
  for (const [number, item] of items.entries()) {
    const label = item.RepoTags[0] ? tagged(item.RepoTags[0]) : `item ${number} of "${dockerManifestName}"`
    const config = await survey.require(fromText(item.Config), 'the config', {image: label})
    const facts = config && (await survey.readConfig(config, label))
    if (facts !== undefined) histories.set(facts.imageID, facts.history)
    const listed = sources.success ? (sources.output[number]?.LayerSources ?? {}) : {}
    images.push(await surveyItem(survey, item, label, config, facts, listed))
  }
  const checked = new Set<string>()
  for (const [number, image] of images.entries()) {
    const pair = `${items[number]!.Parent} ${image.imageID}`
    if (!checked.has(pair)) checkParent(survey, items[number]!.Parent, image, histories)
    checked.add(pair)
  }
  survey.checkNames(images)
  survey.images.push(...images)
  return images
}

async function surveyItem(
  survey: Survey,
  item: Item,
  label: string,
  config: Blob | undefined,
  facts: ConfigFacts | undefined,
  sources: Sources,
): Promise<SurveyedImage> {
  const configName = `the config "${printable(config?.name ?? '')}"`
  const layers: (Blob | undefined)[] = []
  for (const [at, path] of item.Layers.entries()) {
    const place = {image: label, layer: at}
    const blob = await survey.require(fromText(path), `layer ${at}`, place)
    layers.push(blob)
    const diffID = facts?.diffIDs[at]
    survey.claimLayer(blob, at, diffID, configName, label)
    // Others write here what the layer was in the registry, and store it uncompressed.
    if (blob !== undefined && diffID !== undefined && path.startsWith('blobs/')) {
      await claimSource(survey, blob, sources[diffID], place)
    }
  }
  if (facts !== undefined) {
    survey.checkCount(item.Layers.length, facts, `"${dockerManifestName}"`, {image: label}, 'error')
  }
  const [v1ID] = /^[0-9a-f]{64}(?=\/layer\.tar$)/.exec(item.Layers.at(-1) ?? '') ?? []
  return {
    label,
    names: item.RepoTags.map(tagged),
    ...(facts !== undefined && {imageID: facts.imageID, platform: facts.platform}),
    ...(v1ID !== undefined && {v1ID}),
    diffIDs: facts?.diffIDs ?? [],
    layers,
  }
}

async function claimSource(
  survey: Survey,
  blob: Blob,
  source: Sources[string] | undefined,
  place: {readonly image: string; readonly layer: number},
): Promise<void> {
  if (source === undefined) return
  const from = `LayerSources in "${dockerManifestName}"`
  const digest = await survey.findings.attempt(place, () => parseDigest(source.digest, `The digest of ${from}`))
  if (digest !== undefined) survey.claim(blob, {...place, kind: 'digest', value: digest, from})
  survey.claim(blob, {...place, kind: 'size', value: String(source.size), from})
  if (source.mediaType !== undefined) survey.claim(blob, {...place, kind: 'mediaType', value: source.mediaType, from})
}

/** @see moby image/tarexport/load.go, checkValidParent */
function checkParent(
  {findings}: Survey,
  recorded: string | null | undefined,
  {label, imageID}: SurveyedImage,
  histories: ReadonlyMap<string, ConfigFacts['history']>,
): void {
  const [before, history] = [histories.get(recorded ?? ''), histories.get(imageID ?? '')]
  if (!recorded || history === undefined) return
  if (before === undefined) {
    findings.add({
      image: label,
      severity: 'warning',
      code: 'PARENT_MISSING',
      message: 'The recorded parent is not in the archive',
      expected: {value: printableText(recorded), from: `Parent in "${dockerManifestName}"`},
    })
    return
  }
  const isPrefix = before.every((step, at) => JSON.stringify(step) === JSON.stringify(history[at]))
  if (isPrefix && history.length === before.length + 1) return
  findings.add({
    image: label,
    severity: 'error',
    code: 'PARENT_MISMATCH',
    message: 'The history is not that of the recorded parent with one more step, as docker load requires',
    expected: {value: `${before.length + 1} steps`, from: `the history of ${recorded}`},
    found: {value: `${history.length} steps${isPrefix ? '' : ', others'}`, from: 'the history of the image'},
  })
}

/** Compares `repositories` with `manifest.json`. */
export async function checkRepositories(survey: Survey, images: readonly SurveyedImage[]): Promise<void> {
  const {archive, documents, findings} = survey
  const place = {member: repositoriesName}
  const blob = await survey.use(repositoriesName, place)
  const document = await findings.attempt(place, async () =>
    blob === undefined ? undefined : parseDocument(await documents.read(blob), repositoriesName, repositoriesSchema),
  )
  const byName = new Map(images.flatMap((image) => image.names.map((name) => [name, image] as const)))
  const named = new Set<string>()
  for (const [repository, tags] of document ?? []) {
    for (const [tag, id] of tags) {
      const name = familiarName(`${repository}:${tag}`)
      named.add(name)
      const image = byName.get(name)
      if (image === undefined) unshared(survey, name, repositoriesName, dockerManifestName)
      else if (!isTop(archive, image, id)) {
        findings.add({
          image: name,
          severity: 'error',
          code: 'NAME_MISMATCH',
          message: `"${repositoriesName}" and "${dockerManifestName}" disagree about ${printableText(name)}`,
          expected: {value: topOf(image), from: `the last of Layers in "${dockerManifestName}"`},
          found: {value: printableText(id), from: `"${repositoriesName}"`},
        })
      }
    }
  }
  // skopeo and kaniko write an empty one, or none.
  if (named.size > 0)
    for (const name of byName.keys()) if (!named.has(name)) unshared(survey, name, dockerManifestName, repositoriesName)
}

/** docker names the top layer by its v1 id, since 25 by its diffID; skopeo by a v1 id whose layer is a link. */
function isTop(archive: Survey['archive'], image: SurveyedImage, id: string): boolean {
  const diffID = image.diffIDs.at(-1)
  if (id === image.v1ID || (diffID !== undefined && id === digestHex(diffID))) return true
  if (!isID(id)) return false
  try {
    const blob = archive.blob(`${id}/layer.tar`)
    return blob !== undefined && blob === image.layers.at(-1)
  } catch {
    return false
  }
}

function topOf({v1ID, diffIDs, layers}: SurveyedImage): string {
  return v1ID ?? diffIDs.at(-1) ?? printable(layers.at(-1)?.name ?? 'none')
}

function unshared({findings}: Survey, name: string, there: string, notThere: string): void {
  findings.add({
    image: name,
    severity: 'note',
    code: 'NAME_UNSHARED',
    message: `${printableText(name)} is named by "${there}", and not by "${notThere}"`,
  })
}

/** Compares `manifest.json` with the index beside it. */
export function checkIndex(survey: Survey, docker: readonly SurveyedImage[], indexed: readonly SurveyedImage[]): void {
  const indexName = 'index.json'
  const byName = new Map(docker.flatMap((image) => image.names.map((name) => [name, image] as const)))
  const several = Map.groupBy(
    indexed.flatMap((image) => image.names.map((name) => ({name, image}))),
    ({name}) => name,
  )
  for (const [name, uses] of several) {
    const image = byName.get(name)
    if (image === undefined) {
      unshared(survey, name, indexName, dockerManifestName)
      continue
    }
    const ids = uses.map((use) => use.image.imageID).filter((id) => id !== undefined)
    if (image.imageID === undefined || ids.length === 0 || ids.includes(image.imageID)) continue
    survey.findings.add({
      image: name,
      severity: 'error',
      code: 'NAME_MISMATCH',
      message: `"${indexName}" and "${dockerManifestName}" disagree about ${printableText(name)}`,
      expected: {value: image.imageID, from: `sha256 of the config that "${dockerManifestName}" names`},
      found: {value: ids.join(', '), from: `sha256 of the config that "${indexName}" leads to`},
    })
  }
  for (const name of byName.keys()) if (!several.has(name)) unshared(survey, name, dockerManifestName, indexName)
}

/** As docker shows a name; bazel leaves the tag out. */
function tagged(name: string): string {
  const familiar = familiarName(name)
  return /:[^/]*$/.test(familiar) ? familiar : `${familiar}:latest`
}

/** Image IDs to images. */
export function byImageID(images: readonly SurveyedImage[]): ReadonlyMap<Digest, SurveyedImage> {
  return new Map(images.flatMap((image) => (image.imageID === undefined ? [] : [[image.imageID, image] as const])))
}
