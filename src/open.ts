/** From what the user typed to the images of an archive. */
import {existsSync} from 'node:fs'
import type {Archive} from './archive/archive.ts'
import {openArchive} from './archive/open.ts'
import {ImgtoolError} from './errors.ts'
import {type Format, familyOf, type Image, type ImageSet, type LostImage, type Platform} from './image/model.ts'
import {isCalled, isLostNamed, isNamed, splitDigest} from './image/names.ts'
import {readImages} from './image/read-images.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {formatReference, parseReference, type Reference} from './reference.ts'
import {printableText} from './text.ts'

/** An open archive with its images. Whoever opened it closes it: `await using source = await openSource(…)`. */
export interface Source extends AsyncDisposable {
  readonly reference: Reference
  readonly archive: Archive
  readonly set: ImageSet
}

/** What a transport promises of the archive behind it. */
const formatsOf: Record<Reference['transport'], readonly Format[]> = {
  auto: ['docker-v1', 'docker-archive', 'oci'],
  'docker-archive': ['docker-v1', 'docker-archive'],
  'docker-1.10': ['docker-archive'],
  'docker-v1': ['docker-v1'],
  'docker-root': ['docker-v1', 'docker-archive'],
  oci: ['oci', 'docker-archive'],
  'oci-archive': ['oci', 'docker-archive'],
}

/**
 * Opens the archive of a reference and reads its documents; layers are not read.
 *
 * @param reference parsed, or as a user types it
 * @throws {ImgtoolError} whatever opening and reading throw; FORMAT_UNKNOWN when the archive is not what the transport says
 */
export async function openSource(
  reference: Reference | string,
  options: {readonly limits?: Limits} = {},
): Promise<Source> {
  const {archive, reference: resolved, readImages} = await openReference(reference, options.limits ?? defaultLimits)
  try {
    const set = await readImages()
    requireTransport(resolved, archive, set)
    return {reference: resolved, archive, set, [Symbol.asyncDispose]: () => archive.close()}
  } catch (error) {
    await archive.close()
    throw error
  }
}

/** An archive, or a store that is read as one, before its images are read. Whoever opened it closes it. */
export interface Opened {
  /** With the driver whose images it means, where there is one. */
  readonly reference: Reference
  readonly archive: Archive
  readImages(): Promise<ImageSet>
}

/** Opens what a reference names. @throws {ImgtoolError} whatever opening throws */
export async function openReference(reference: Reference | string, limits: Limits): Promise<Opened> {
  const parsed = typeof reference === 'string' ? parseReference(reference, existsSync) : reference
  if (parsed.transport === 'docker-root') {
    const {openStore} = await import('./store/open-store.ts')
    const {driver, archive, readImages} = openStore(parsed.path, parsed.driver, limits)
    return {reference: {...parsed, driver}, archive, readImages}
  }
  const archive = await openArchive(parsed.path, limits)
  return {reference: parsed, archive, readImages: () => readImages(archive, limits)}
}

/**
 * The one image that a reference means.
 *
 * @param options.platform where an archive holds one image for several platforms; by default the only one, else this machine's
 * @throws {ImgtoolError} IMAGE_NOT_FOUND, and IMAGE_AMBIGUOUS with references to choose from in its hint
 */
export function selectImage(source: Source, options: {readonly platform?: Platform} = {}): Image {
  const matching = selectImages(source, options)
  const choices = matching.length > 1 && options.platform === undefined ? preferHost(matching) : matching
  if (choices.length === 1) return choices[0]!
  throw ambiguous(source, choices)
}

/**
 * All images that a reference means, at least one; every image of the archive where the reference names none.
 *
 * @throws {ImgtoolError} IMAGE_NOT_FOUND
 */
export function selectImages(source: Source, options: {readonly platform?: Platform} = {}): readonly Image[] {
  const {reference, set} = source
  const named = set.images.filter((image) => isWanted(image, reference))
  if (named.length === 0) throw whyLost(source) ?? mispinned(source) ?? notFound(source, describeWish(reference))
  const {platform} = options
  const matching = platform === undefined ? named : named.filter((image) => matches(image.platform, platform))
  if (matching.length === 0) {
    const lost = whyLost(source, platform)
    if (lost !== undefined) throw lost
    throw notFound(source, `${describeWish(reference)} for ${formatPlatform(platform!)}`, true)
  }
  return matching
}

/**
 * All images that a reference means, for what holds one image a name: of a name for several platforms, this machine's.
 *
 * @param options.isRenamed whether images without names get one, too
 * @throws {ImgtoolError} IMAGE_NOT_FOUND
 */
export function selectImagesOfNames(
  source: Source,
  {isRenamed, ...options}: {readonly platform?: Platform; readonly isRenamed: boolean},
): readonly Image[] {
  const images = selectImages(source, options)
  if (options.platform !== undefined) return images
  const families = [...Map.groupBy(images, (image) => familyOf(image) ?? image).values()]
  const preferred = families.flatMap((group) => (group[0]!.names.length > 0 || isRenamed ? preferHost(group) : group))
  return images.filter((image) => preferred.includes(image))
}

/** `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join('/')
}

/**
 * Parses what {@link formatPlatform} prints.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID
 */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/')
  if (!os || !architecture || variant === '' || rest.length > 0) {
    throw new ImgtoolError(
      'REFERENCE_INVALID',
      `Cannot read platform "${printableText(text)}": expected os/architecture[/variant], such as linux/arm64`,
    )
  }
  return {os, architecture, ...(variant === undefined ? {} : {variant})}
}

/**
 * Refuses an archive that is not what the transport of its reference says.
 *
 * @throws {ImgtoolError} FORMAT_UNKNOWN
 */
export function requireTransport(reference: Reference, archive: Archive, set: ImageSet): void {
  const isDirectory = archive.kind === 'directory'
  const fits =
    formatsOf[reference.transport].includes(set.format) &&
    (reference.transport !== 'oci' || isDirectory) &&
    (reference.transport !== 'oci-archive' || !isDirectory) &&
    (!reference.transport.startsWith('oci') || archive.members.has('index.json'))
  if (fits) return
  throw new ImgtoolError(
    'FORMAT_UNKNOWN',
    `Cannot read "${printableText(archive.label)}" as ${reference.transport}: it is a ${archive.kind} of format ${set.format}`,
    {archive: archive.label, hint: 'Give the path alone, and the format is found by looking'},
  )
}

function isWanted(image: Image, reference: Reference): boolean {
  if (reference.index !== undefined) return image.index === reference.index
  return reference.name === undefined || isNamed(image, reference.name)
}

/** A platform without a variant means any variant. */
function matches(actual: Platform, wanted: Platform): boolean {
  return (
    actual.os === wanted.os &&
    actual.architecture === wanted.architecture &&
    (wanted.variant === undefined || actual.variant === wanted.variant)
  )
}

/** Go's names of this machine's processors, where they differ from Node's. */
const goArchitectures: Partial<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  ppc64: 'ppc64le',
  loong64: 'loong64',
}

/** What docker images for this machine say. */
export function hostPlatform(): Platform {
  return {os: 'linux', architecture: goArchitectures[process.arch] ?? process.arch}
}

/** The image for this machine, where the choices are one image for several platforms. */
function preferHost(images: readonly Image[]): readonly Image[] {
  const platforms = new Set(images.map((image) => formatPlatform(image.platform)))
  if (platforms.size !== images.length) return images
  const host = hostPlatform()
  const own = images.filter((image) => matches(image.platform, host))
  const families = new Set(images.map((image) => familyOf(image) ?? image))
  return own.length > 0 && families.size === 1 ? own : images
}

function describeWish(reference: Reference): string {
  if (reference.index !== undefined) return `image @${reference.index}`
  return reference.name === undefined ? 'an image' : `image "${printableText(reference.name)}"`
}

/** Why an image that was asked for was left out. @param platform where it was asked for, too */
export function whyLost(
  {reference, set}: Pick<Source, 'reference' | 'set'>,
  platform?: Platform,
): ImgtoolError | undefined {
  const {name} = reference
  const isMeant = ({platform: {os, architecture, variant} = {}}: LostImage) =>
    platform === undefined ||
    matches({os: os ?? '', architecture: architecture ?? '', ...(variant && {variant})}, platform)
  return name === undefined ? undefined : set.lost?.find((image) => isLostNamed(image, name) && isMeant(image))?.error
}

/** Says of a name and a digest which one of them does not fit, where one of them does. */
function mispinned(source: Source): ImgtoolError | undefined {
  const {archive, reference, set} = source
  const {name, digest} = splitDigest(reference.name ?? '') ?? {}
  if (name === undefined || digest === undefined) return undefined
  const [called] = set.images.filter((image) => isCalled(image, name))
  const others = set.images.filter((image) => isNamed(image, digest))
  if (called === undefined && others.length === 0) return undefined
  const shown = `"${printableText(name)}"`
  const why = called === undefined ? `the image with the digest is not called ${shown}` : `${shown} has another digest`
  const hint = called === undefined ? `It is ${listChoices(source, others)}` : describeDigest(called)
  const message = `Cannot find ${describeWish(reference)} in "${printableText(archive.label)}": ${why}`
  return new ImgtoolError('IMAGE_NOT_FOUND', message, {archive: archive.label, hint})
}

function describeDigest({manifestDigest, imageID}: Image): string {
  const digest = manifestDigest ?? imageID
  return digest === undefined ? 'Images from before docker 1.10 have none: leave it out' : `Its digest is ${digest}`
}

/** @param platforms says of every image that there is for which platform it is */
function notFound(source: Source, what: string, platforms = false): ImgtoolError {
  const {archive} = source
  return new ImgtoolError('IMAGE_NOT_FOUND', `Cannot find ${what} in "${printableText(archive.label)}"`, {
    archive: archive.label,
    hint: `It holds ${listChoices(source, source.set.images, platforms)}`,
  })
}

function ambiguous(source: Source, choices: readonly Image[]): ImgtoolError {
  const {archive} = source
  return new ImgtoolError(
    'IMAGE_AMBIGUOUS',
    `Cannot choose among ${choices.length} images of "${printableText(archive.label)}"`,
    {
      archive: archive.label,
      hint: `Name one: ${listChoices(source, choices)}`,
    },
  )
}

/** References that can be copied, on one line; many are cut. */
const shownChoices = 12

function listChoices(source: Source, images: readonly Image[], platforms = false): string {
  const references = images.slice(0, shownChoices).map((image) => describeChoice(source, image, platforms))
  const more = images.length - references.length
  return references.join(', ') + (more > 0 ? `, and ${more} more` : '')
}

/** By name where the name selects this image alone and can be typed, else by index with what tells it from the others. */
function describeChoice({reference, set}: Source, image: Image, platforms: boolean): string {
  const {name: _, index: __, ...archive} = reference
  const name = image.names.find((candidate) => isTypable(candidate) && selectsOne(set.images, candidate))
  const platform = formatPlatform(image.platform)
  if (name !== undefined) {
    return printableText(formatReference({...archive, name}) + (platforms ? ` (${platform})` : ''))
  }
  const facts = [image.names[0], platform].filter(Boolean).join(', ')
  return printableText(`${formatReference({...archive, index: image.index})} (${facts})`)
}

/** Whether a name means itself in a reference and in a shell: names of archives can be anything. */
function isTypable(name: string): boolean {
  return /^\w[\w./:@+-]*$/.test(name)
}

function selectsOne(images: readonly Image[], name: string): boolean {
  return images.filter((image) => isNamed(image, name)).length === 1
}
