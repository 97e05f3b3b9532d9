/** The names that images get in a new archive. */
import {checkName, type Destination} from './destination.ts'
import {shortID} from './digest.ts'
import {ImgtoolError} from './errors.ts'
import {familyOf, type Image} from './image/model.ts'
import {familiarName, isDockerName, splitTag} from './image/names.ts'
import type {OnWarning, Warning} from './layer/change.ts'
import {formatPlatform} from './open.ts'
import {printableText} from './text.ts'

export interface NameOptions {
  /** Names instead of those that the images have. */
  readonly names?: readonly string[]
  readonly onWarning?: OnWarning
}

/** What the names are for: an archive, or docker's data-root. */
type Names = Pick<Destination, 'name'> & {readonly format: Destination['format'] | 'data-root'}

/**
 * Gives images the names that were asked for, and names that the format can hold.
 *
 * @throws {ImgtoolError} IMAGE_AMBIGUOUS for one name for several images, IMAGE_UNSUITABLE for a name that has several
 *   platforms where the format holds one, REFERENCE_INVALID
 */
export function renameImages(images: readonly Image[], {format, name}: Names, options: NameOptions): readonly Image[] {
  const given = [...(name === undefined ? [] : [name]), ...(options.names ?? []).map(checkName)]
  if (given.length > 0) requireOneName(images)
  const renamed = given.length === 0 ? images : images.map((image) => ({...image, names: [...new Set(given)]}))
  if (format.startsWith('oci')) return renamed
  const spell = (names: string[]) => (format === 'data-root' ? [...new Set(names.map(familiarName))] : names)
  const tagged = renamed.map((image) => ({...image, names: spell(taggedNames(image, given.length > 0, options))}))
  requireOneImageEach(tagged, format)
  return tagged
}

/** Several images may only share a name when they are one image for several platforms, of one name or of one index. */
function requireOneName(images: readonly Image[]): void {
  const platforms = new Set(images.map(({platform}) => formatPlatform(platform)))
  const families = new Set(images.map((image) => familyOf(image) ?? image))
  if (platforms.size === images.length && families.size === 1) return
  throw new ImgtoolError('IMAGE_AMBIGUOUS', `Cannot give ${images.length} images one name`, {
    hint: 'Choose one of them: SOURCE:NAME, SOURCE:@INDEX or --platform',
  })
}

/** docker knows names with tags only. A name that was asked for gets docker's usual tag; for others it is not known what they lack. */
function taggedNames({format, names}: Image, given: boolean, {onWarning}: NameOptions): string[] {
  return names.flatMap((name) => {
    if (given) return [requireDockerName(splitTag(name) === undefined ? `${name}:latest` : name)]
    if (splitTag(name) !== undefined && isDockerName(name)) return [name]
    onWarning?.({
      code: 'NAME_LOST',
      message: `The image is written without its name "${printableText(name)}", ${whyLost(name, format === 'oci')}`,
    })
    return []
  })
}

/** @param mayBeTag OCI layouts often have tags alone */
function whyLost(name: string, mayBeTag: boolean): string {
  const shown = printableText(name)
  if (splitTag(name) !== undefined || name.includes('@')) return 'which docker refuses; give one with --tag NAME:TAG'
  const wanted = mayBeTag && /^[\w.-]+$/.test(name) ? `NAME:${shown}` : `${shown}:latest`
  return `because docker needs a name and a tag; give them with --tag ${wanted}`
}

function requireDockerName(name: string): string {
  if (isDockerName(name)) return name
  throw new ImgtoolError('REFERENCE_INVALID', `Cannot use "${printableText(name)}" as a name of docker's`, {
    hint: 'It takes lower case, and one tag of at most 128 letters, digits, ".", "-" and "_"',
  })
}

function requireOneImageEach(images: readonly Image[], format: Names['format']): void {
  const owners = new Map<string, Image>()
  for (const image of images) {
    for (const name of image.names) {
      const owner = owners.get(name)
      if (owner !== undefined) throw severalImages(name, [owner, image], format)
      owners.set(name, image)
    }
  }
}

function severalImages(name: string, images: readonly [Image, Image], format: Names['format']): ImgtoolError {
  const platforms = images.map(({platform}) => formatPlatform(platform))
  const places = images.map(({index}) => `@${index}`)
  const isOnePlatform = platforms[0] === platforms[1]
  const which = isOnePlatform ? `the images ${places.join(' and ')}` : platforms.join(' and ')
  const where = format === 'data-root' ? 'to a data-root' : `as ${format}`
  // Readers of OCI would not know either which of two images for one platform a name means.
  const otherFormat = format === 'data-root' ? '' : ', or write oci-archive:'
  const hint = isOnePlatform
    ? `Choose one with SOURCE:${places[0]}, and give the other another name: SOURCE:${places[1]} with --tag NAME`
    : `Choose one with --platform ${platforms[0]}${otherFormat}`
  return new ImgtoolError(
    'IMAGE_UNSUITABLE',
    `Cannot write "${printableText(name)}" for ${which} ${where}, which holds one image a name`,
    {hint},
  )
}

/** The warning for a name that another image has lost. @param from digest or ID of that one */
export function describeTaken(name: string, from: string): Warning {
  const message = `The name "${printableText(name)}" was taken from image ${printableText(shortID(from))}`
  return {code: 'NAME_TAKEN', message}
}
