/** What the bytes of an archive are, compared with what its documents and names say of them. Each blob is read once. */
import type {Blob} from '../archive/archive.ts'
import type {Compression} from '../compression/detect.ts'
import {type Digest, digestAlgorithm, startDigest} from '../digest.ts'
import {type Budget, type ReadOptions, readLayer} from '../layer/read.ts'
import {printable, printableText} from '../text.ts'
import {describeError, type Evidence, type FindingCode, isAboutData, type Place} from './findings.ts'
import {LayerAudit} from './layer-audit.ts'
import {type Claim, digestInName, type Survey} from './survey.ts'

/** What reading a blob told. */
export interface BlobFacts {
  /** Of the stored bytes, by algorithm; sha256 is there wherever anybody says something of them. */
  readonly digests: ReadonlyMap<string, Digest>
  /** Of the uncompressed tar, by algorithm. Empty for what is no layer, and for what cannot be decompressed. */
  readonly diffIDs: ReadonlyMap<string, Digest>
  readonly compression?: Compression
  /** Bytes of the files of a layer whose tar could be read to its end. */
  readonly contentSize?: number
}

/** What reading layers takes. */
export interface BlobTools {
  readonly budget: Budget
  readonly options: ReadOptions
}

/** Adds to the claims what names of members say, and with that the blobs that no document leads to. */
export function claimNames(survey: Survey): void {
  for (const {name, blob} of survey.archive.members.values()) {
    const digest = blob && digestInName(name)
    if (blob === undefined || digest === undefined) continue
    const kind = /^blobs\//.test(name) ? 'digest' : name.includes('.tar') ? 'anyDigest' : 'imageID'
    survey.claim(blob, {kind, value: digest, from: `the name of "${printable(name)}"`})
  }
}

/** Reads a blob and says what is wrong with it. */
export async function checkBlob(survey: Survey, blob: Blob, tools: BlobTools): Promise<BlobFacts> {
  const claims = survey.claimsOf(blob)
  const place = placeOf(blob, claims)
  const facts = survey.layers.has(blob)
    ? await readAsLayer(survey, blob, claims, place, tools)
    : {digests: await hashStored(survey, blob, algorithmsOf(claims, storedKinds), place, tools), diffIDs: new Map()}
  for (const claim of claims) compare(survey, blob, claim, facts)
  return facts
}

/** Where findings about the blob itself are: the first image that has it. */
function placeOf(blob: Blob, claims: readonly Claim[]): Place {
  const {image, layer} = claims.find((claim) => claim.image !== undefined) ?? {}
  return {member: blob.name, ...(image !== undefined && {image}), ...(layer !== undefined && {layer})}
}

const storedKinds = ['digest', 'imageID', 'anyDigest']
const plainKinds = ['diffID', 'anyDigest']

function algorithmsOf(claims: readonly Claim[], kinds: readonly string[]): string[] {
  const digests = claims.filter(({kind}) => kinds.includes(kind))
  return [...new Set(digests.map(({value}) => digestAlgorithm(value as Digest)))]
}

async function readAsLayer(
  survey: Survey,
  blob: Blob,
  claims: readonly Claim[],
  place: Place,
  tools: BlobTools,
): Promise<BlobFacts> {
  const stored = algorithmsOf(claims, storedKinds)
  const plain = algorithmsOf(claims, plainKinds)
  const digests = new Map<string, Digest>()
  const diffIDs = new Map<string, Digest>()
  let rest: Pick<BlobFacts, 'compression' | 'contentSize'> = {}
  // One pass, but for a blob of which digests of several algorithms are said.
  for (let pass = 0; pass < Math.max(1, stored.length, plain.length); pass++) {
    try {
      const algorithms = {digest: stored[pass] ?? stored[0], diffID: plain[pass] ?? plain[0]}
      const facts = await readOnce(survey, blob, algorithms, place, tools)
      if (facts.digest !== undefined) digests.set(digestAlgorithm(facts.digest), facts.digest)
      diffIDs.set(digestAlgorithm(facts.diffID), facts.diffID)
      rest = facts
    } catch (error) {
      if (!isAboutData(error)) throw error
      survey.findings.add({...describeError(error), ...place, severity: 'error'})
      return {digests: await hashStored(survey, blob, stored, place, tools), diffIDs: new Map()}
    }
  }
  return {...rest, digests, diffIDs}
}

/** A digest of an algorithm, which nothing has: it only says what is to be computed. */
function anyOf(algorithm: string | undefined): Digest | undefined {
  return algorithm === undefined ? undefined : (`${algorithm}:` as Digest)
}

async function readOnce(
  survey: Survey,
  blob: Blob,
  algorithms: {readonly digest: string | undefined; readonly diffID: string | undefined},
  place: Place,
  tools: BlobTools,
) {
  const audit = new LayerAudit()
  const [digest, diffID] = [anyOf(algorithms.digest), anyOf(algorithms.diffID)]
  let isWhole = true
  const facts = await readLayer(
    {index: place.layer ?? 0, blob, ...(digest && {digest}), ...(diffID && {diffID})},
    audit,
    tools.budget,
    {
      ...tools.options,
      onDamage: (error) => {
        if (error.code === 'DIGEST_MISMATCH') return
        isWhole = false
        survey.findings.add({...describeError(error), ...place, severity: 'error'})
      },
    },
  )
  reportEntries(survey, place, audit, isWhole && facts.entries === 0, facts.tarSize)
  return {...facts, ...(isWhole && {contentSize: audit.contentSize})}
}

/** Bytes of the tar that docker itself makes of nothing: the two zero blocks of its end. */
const emptyTarSize = 1024

function reportEntries(survey: Survey, place: Place, audit: LayerAudit, isEmpty: boolean, tarSize: number): void {
  for (const {severity, code, message, entry, count} of audit.finish()) {
    const more = count > 1 ? ` (and ${count - 1} more like this)` : ''
    survey.findings.add({...place, entry, severity, code, message: message + more})
  }
  if (!isEmpty || tarSize === emptyTarSize) return
  const message = `The layer has no entry: its tar has ${tarSize} bytes`
  survey.findings.add({...place, severity: 'note', code: 'LAYER_EMPTY', message})
}

async function hashStored(
  survey: Survey,
  blob: Blob,
  algorithms: readonly string[],
  place: Place,
  tools: BlobTools,
): Promise<Map<string, Digest>> {
  const running = algorithms.map((algorithm) => startDigest(algorithm))
  const {signal} = tools.options
  const digests = await survey.findings.attempt(place, async () => {
    for await (const chunk of blob.stream()) {
      signal?.throwIfAborted()
      for (const each of running) each.update(chunk)
    }
    return running.map((each) => each.digest())
  })
  return new Map((digests ?? []).map((digest) => [digestAlgorithm(digest), digest]))
}

function compare(survey: Survey, blob: Blob, claim: Claim, facts: BlobFacts): void {
  const found = checks[claim.kind](blob, claim.value, facts)
  if (found === undefined) return
  const {kind: _, value, from, ...place} = claim
  const {code, severity = 'error', message} = mismatches[claim.kind]
  survey.findings.add({
    member: blob.name,
    ...place,
    severity,
    code,
    message: `"${printable(blob.name)}" ${message}`,
    expected: {value: printableText(value), from},
    found,
  })
}

const mismatches: Record<Claim['kind'], {code: FindingCode; severity?: 'warning' | 'note'; message: string}> = {
  digest: {code: 'DIGEST_MISMATCH', message: 'does not have its digest'},
  diffID: {code: 'DIFF_ID_MISMATCH', message: 'does not have its diffID'},
  imageID: {code: 'IMAGE_ID_MISMATCH', message: 'does not have the image ID in its name'},
  anyDigest: {code: 'DIGEST_MISMATCH', message: 'has neither the digest nor the diffID in its name'},
  size: {code: 'SIZE_MISMATCH', message: 'does not have its size'},
  // skopeo keeps the type of a layer that it decompresses, and readers go by the bytes.
  mediaType: {
    code: 'MEDIA_TYPE_MISMATCH',
    severity: 'warning',
    message: 'is not compressed as its media type says',
  },
  contentSize: {code: 'SIZE_CLAIM', severity: 'note', message: 'has files of another size than its json says'},
}

type Check = (blob: Blob, value: string, facts: BlobFacts) => Evidence | undefined

/** What was found where it is not what was said; undefined where it is, and where it cannot be known. */
const checks: Record<Claim['kind'], Check> = {
  digest: compareStored,
  imageID: compareStored,
  diffID: (blob, value, {diffIDs, compression}) => {
    const actual = diffIDs.get(digestAlgorithm(value as Digest))
    if (actual === undefined || actual === value) return undefined
    const what = compression === 'none' ? 'bytes' : 'decompressed bytes'
    return {value: actual, from: `${digestAlgorithm(actual)} of the ${what} of "${printable(blob.name)}"`}
  },
  anyDigest: (blob, value, facts) =>
    [...facts.diffIDs.values()].includes(value as Digest) ? undefined : compareStored(blob, value, facts),
  size: (blob, value) =>
    String(blob.size) === value ? undefined : {value: String(blob.size), from: 'bytes in the archive'},
  mediaType: (_blob, value, {compression}) => {
    const expected = compressionOf(value)
    if (expected === undefined || compression === undefined || expected === compression) return undefined
    return {value: compression, from: 'the first bytes, which tell the compression'}
  },
  contentSize: (_blob, value, {contentSize}) =>
    contentSize === undefined || String(contentSize) === value
      ? undefined
      : {value: String(contentSize), from: 'the sizes of all entries'},
}

function compareStored(blob: Blob, value: string, {digests}: BlobFacts): Evidence | undefined {
  const actual = digests.get(digestAlgorithm(value as Digest))
  if (actual === undefined || actual === value) return undefined
  return {value: actual, from: `${digestAlgorithm(actual)} of the stored bytes of "${printable(blob.name)}"`}
}

/** @see OCI image-spec media-types.md; containerd core/images/mediatypes.go for docker's */
function compressionOf(mediaType: string): Compression | undefined {
  const [, suffix] = /[.+](tar|gzip|zstd|zst)$/.exec(mediaType) ?? []
  if (suffix === undefined) return undefined
  return suffix === 'tar' ? 'none' : suffix === 'gzip' ? 'gzip' : 'zstd'
}
