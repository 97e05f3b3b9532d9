/** Takes what can be read of a damaged store: one damaged image must not cost the others. */
import {shortID} from './digest.ts'
import {ImgtoolError, isImgtoolError} from './errors.ts'
import {whyDamaged} from './image/damaged.ts'
import {requireWhole} from './image/missing.ts'
import type {Image} from './image/model.ts'
import type {OnWarning, Warning} from './layer/change.ts'
import type {Source} from './open.ts'
import {printableText} from './text.ts'

export interface RescueOptions {
  readonly onWarning?: OnWarning | undefined
  /** Called for each image that is left out, with one sentence. */
  readonly onLeftOut?: (message: string) => void
  /** What was written cannot be taken back. @default false */
  readonly isFinal?: boolean
}

/**
 * Writes images. Where all of a store were asked for, those that are damaged are left out: what opening has found at once; what
 * is only found while layers are read, by giving up what was written, and writing the other images anew.
 *
 * @param write leaves nothing when it fails
 * @throws {ImgtoolError} what `write` throws; for a damaged image where it was named, where no other is left, or where nothing
 *   can be taken back, with a hint that says what helps
 */
export async function writeReadable<Result>(
  source: Source,
  images: readonly Image[],
  {onWarning, onLeftOut, isFinal = false}: RescueOptions,
  write: (images: readonly Image[], onWarning: OnWarning) => Promise<Result>,
): Promise<Result> {
  const {transport, name, index} = source.reference
  const isAll = transport === 'docker-root' && name === undefined && index === undefined
  const leaveOut = (all: readonly Image[], say: (image: Image) => string | undefined) => {
    const messages = all.map(say)
    for (const message of messages) if (message !== undefined) onLeftOut?.(message)
    return all.filter((_, at) => messages[at] === undefined)
  }
  let left = isAll && !images.every(whyBroken) ? leaveOut(images, sayBroken) : images
  for (;;) {
    const warnings: Warning[] = []
    try {
      const result = await write(left, (warning) => void warnings.push(warning))
      for (const warning of warnings) onWarning?.(warning)
      return result
    } catch (error) {
      const damaged = left.filter(whyUnreadable)
      if (transport !== 'docker-root' || damaged.length === 0) throw error
      if (!isAll || isFinal || damaged.length === left.length) throw withHint(error, hint(source, damaged[0]!, isFinal))
      left = leaveOut(left, (image) => sayUnreadable(source, image))
    }
  }
}

function whyBroken(image: Image): ImgtoolError | undefined {
  try {
    requireWhole(image)
    return undefined
  } catch (error) {
    if (!isImgtoolError(error)) throw error
    return error
  }
}

/** What reading has found. */
function whyUnreadable({layers}: Image): ImgtoolError | undefined {
  return layers.map(({blob}) => whyDamaged(blob)).find((error) => error !== undefined)
}

function sayBroken(image: Image): string | undefined {
  const error = whyBroken(image)
  return error && `${describe(image)} is left out: ${error.message}`
}

function sayUnreadable(source: Source, image: Image): string | undefined {
  const error = whyUnreadable(image)
  const files = mountCommand(source, image)
  return (
    error && `${describe(image)} is left out: ${error.message}${files === undefined ? '' : `; its files: ${files}`}`
  )
}

function hint(source: Source, image: Image, isFinal: boolean): string {
  const files = mountCommand(source, image)
  const parts = [
    ...(files === undefined ? [] : [`See its files with ${files}`]),
    ...(isFinal ? ['Write all images to a file, and those that are damaged are left out'] : []),
  ]
  return parts.join('. ')
}

function withHint(error: unknown, text: string): unknown {
  if (!isImgtoolError(error) || text === '') return error
  const {code, message, details, cause} = error
  return new ImgtoolError(code, message, {...details, hint: text, cause})
}

/** Shows files, whatever their tar was like; undefined where images of the store cannot be mounted. */
function mountCommand({reference: {path, driver}}: Source, {format, imageID, names}: Image): string | undefined {
  if (format === 'docker-v1' || imageID === undefined || driver === 'overlay') return undefined
  return printableText(`imgtool mount ${names[0] ?? shortID(imageID)} DIRECTORY --store ${path}`)
}

function describe({names: [name], imageID, v1ID}: Image): string {
  const id = shortID(imageID ?? v1ID ?? '')
  return name === undefined ? `Image ${id}` : `Image "${printableText(name)}" (${id})`
}
