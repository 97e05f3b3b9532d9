/** What the documents of an archive say, before any of it is compared with the bytes. */
import type {Archive, Blob} from '../archive/archive.ts'
import type {Digest} from '../digest.ts'
import {type ConfigFacts, readConfig} from '../image/config.ts'
import {Documents} from '../image/json.ts'
import type {Platform} from '../image/model.ts'
import type {Limits} from '../limits.ts'
import {type ByteString, printableText} from '../text.ts'
import type {Findings, Place} from './findings.ts'

/** Something that a document, or a name, says of the bytes of a blob. */
export interface Claim extends Place {
  readonly kind: 'digest' | 'diffID' | 'anyDigest' | 'imageID' | 'size' | 'mediaType' | 'contentSize'
  readonly value: string
  /** Who says it: `diff_ids[3] of the config "…"`. */
  readonly from: string
}

/** An image as far as its documents can be read. */
export interface SurveyedImage {
  readonly label: string
  readonly names: readonly string[]
  readonly platform?: Platform
  readonly imageID?: Digest
  readonly v1ID?: string
  readonly manifestDigest?: Digest
  /** As the config says, base first. */
  readonly diffIDs: readonly Digest[]
  /** Base first; undefined for those that are not there. */
  readonly layers: readonly (Blob | undefined)[]
}

/** A survey under way. */
export class Survey {
  readonly archive: Archive
  readonly limits: Limits
  readonly documents: Documents
  readonly findings: Findings
  /** Names of the members that documents lead to. */
  readonly used = new Set<ByteString>()
  readonly #claims = new Map<Blob, Map<string, Claim>>()
  readonly #configs = new Map<Blob, ConfigFacts | undefined>()
  /** Blobs that are layers, and so tars. */
  readonly layers = new Set<Blob>()
  readonly images: SurveyedImage[] = []

  constructor(archive: Archive, limits: Limits, findings: Findings) {
    this.archive = archive
    this.limits = limits
    this.documents = new Documents(limits)
    this.findings = findings
  }

  /** The bytes under a name that a document gives; undefined where there are none that can be read, which is no finding yet. */
  async use(name: ByteString, place: Place): Promise<Blob | undefined> {
    const blob = await this.findings.attempt(place, () => this.archive.blob(name))
    this.used.add(name)
    if (blob !== undefined) this.used.add(blob.name)
    return blob
  }

  /** As {@link use}; that there are none is an error. */
  async require(name: ByteString, what: string, place: Place): Promise<Blob | undefined> {
    const isThere = this.archive.members.has(name)
    const blob = await this.use(name, place)
    if (blob === undefined && !isThere) this.miss(name, what, place)
    return blob
  }

  /** Says that a blob is missing. */
  miss(name: ByteString, what: string, place: Place): void {
    this.findings.add({
      ...place,
      severity: 'error',
      code: 'BLOB_MISSING',
      message: `Cannot find ${what} in the archive`,
      expected: {value: printableText(name), from: 'the document that names it'},
    })
  }

  claim(blob: Blob, claim: Claim): void {
    const known = this.#claims.get(blob) ?? new Map<string, Claim>()
    this.#claims.set(blob, known)
    // Thousands of items may say the same of one blob.
    const key = `${claim.kind} ${claim.value}`
    if (!known.has(key)) known.set(key, claim)
  }

  claimsOf(blob: Blob): Claim[] {
    return [...(this.#claims.get(blob)?.values() ?? [])]
  }

  /** Blobs that anything is said of, and layers. */
  get blobs(): Blob[] {
    return [...new Set([...this.layers, ...this.#claims.keys()])]
  }

  /** What a config says. Thousands of items may share one large config: it is read, and its history checked, once. */
  async readConfig(blob: Blob, image: string): Promise<ConfigFacts | undefined> {
    if (this.#configs.has(blob)) return this.#configs.get(blob)
    const facts = await this.findings.attempt({image, member: blob.name}, async () =>
      readConfig(await this.documents.read(blob, 'config'), blob.name, this.limits),
    )
    this.#configs.set(blob, facts)
    if (facts !== undefined) this.#checkHistory(facts, image)
    return facts
  }

  /** A layer with what a config says of it. */
  claimLayer(blob: Blob | undefined, index: number, diffID: Digest | undefined, config: string, image: string): void {
    if (blob === undefined) return
    this.layers.add(blob)
    if (diffID === undefined) return
    this.claim(blob, {kind: 'diffID', value: diffID, from: `diff_ids[${index}] of ${config}`, image, layer: index})
  }

  #checkHistory({history, diffIDs: {length: layers}}: ConfigFacts, image: string): void {
    const steps = history.filter((entry) => !entry.emptyLayer).length
    if (history.length === 0 && layers > 0) {
      this.findings.add({
        image,
        severity: 'note',
        code: 'HISTORY_ABSENT',
        message: 'The config has no history, so that nothing says what made the layers',
      })
    } else if (steps !== layers) {
      this.findings.add({
        image,
        severity: 'error',
        code: 'HISTORY_MISMATCH',
        message: 'The history has another number of layers than the image',
        expected: {value: String(layers), from: 'rootfs.diff_ids of the config'},
        found: {value: String(steps), from: 'steps of the history that are no empty_layer'},
      })
    }
  }

  /** Looks for a name that one document gives to several images for one platform. @param images of the document */
  checkNames(images: readonly SurveyedImage[]): void {
    const named = images.flatMap((image) => image.names.map((name) => ({name, image})))
    const key = ({name, image: {platform}}: (typeof named)[number]) => JSON.stringify([name, platform])
    for (const [first, ...others] of Map.groupBy(named, key).values()) {
      const {name, image} = first!
      const other = others.find(({image: {imageID}}) => imageID !== undefined && imageID !== image.imageID)
      if (image.imageID === undefined || other === undefined) continue
      this.findings.add({
        image: name,
        severity: 'warning',
        code: 'NAME_REPEATED',
        message: `${printableText(name)} means several images for one platform, of which readers take one or another`,
        expected: {value: image.imageID, from: 'the first of them'},
        found: {value: other.image.imageID!, from: 'another'},
      })
    }
  }

  /** Compares how many layers a manifest and a config have. */
  checkCount(layers: number, facts: ConfigFacts, where: string, place: Place, severity: 'error' | 'warning'): void {
    if (layers === facts.diffIDs.length) return
    this.findings.add({
      ...place,
      severity,
      code: 'LAYERS_MISMATCH',
      message: `The config names another number of layers than ${where}`,
      expected: {value: String(facts.diffIDs.length), from: 'rootfs.diff_ids of the config'},
      found: {value: String(layers), from: where},
    })
  }
}

/** The digest that the name of a member is, where it is one: those of docker 25 and of layouts, kaniko's, skopeo's. */
export function digestInName(name: ByteString): Digest | undefined {
  const blob = /^blobs\/(sha256|sha384|sha512)\/([0-9a-f]+)$/.exec(name)
  if (blob !== null) return validDigest(blob[1]!, blob[2]!)
  const file = /^(?:sha256:)?([0-9a-f]{64})(?:\.json|\.tar|\.tar\.gz)?$/.exec(name)
  return file === null ? undefined : validDigest('sha256', file[1]!)
}

function validDigest(algorithm: string, hex: string): Digest | undefined {
  const length = {sha256: 64, sha384: 96, sha512: 128}[algorithm]
  return hex.length === length ? (`${algorithm}:${hex}` as Digest) : undefined
}
