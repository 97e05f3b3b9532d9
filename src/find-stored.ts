/** From what the user typed to an image of docker's data-root. */
import {ImgtoolError} from './errors.ts'
import {familiarName} from './image/names.ts'
import type {ImageState, StoreState} from './store/state.ts'
import {printableText} from './text.ts'

/** The name of the store that a typed one means. @param wanted without a tag `latest` */
export function findName({names}: StoreState, wanted: string): string | undefined {
  const familiar = familiarName(wanted)
  return [wanted, familiar, `${familiar}:latest`].find((name) => names.has(name))
}

/** Whether the ID of an image begins so. */
export function isImageID({images}: StoreState, wanted: string): boolean {
  return imagesWith(images, wanted).length > 0
}

/**
 * The image that a name or an ID means; undefined for a name of what is not there.
 *
 * @throws {ImgtoolError} as {@link findImage}
 */
export function findStored(state: StoreState, wanted: string): ImageState | undefined {
  const name = findName(state, wanted)
  return name === undefined ? findImage(state, wanted) : state.images.get(state.names.get(name)!)
}

/**
 * The image that an ID means.
 *
 * @param wanted the first 12 or more digits
 * @throws {ImgtoolError} IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS
 */
export function findImage({images}: StoreState, wanted: string): ImageState {
  const [image, ...others] = imagesWith(images, wanted)
  const shown = printableText(wanted)
  if (others.length > 0)
    throw new ImgtoolError('IMAGE_AMBIGUOUS', `Cannot choose among the images that begin with "${shown}"`, {
      hint: 'Give more digits',
    })
  if (image !== undefined) return image
  throw new ImgtoolError('IMAGE_NOT_FOUND', `Cannot find image "${shown}" in the store`, {
    hint: 'Run: imgtool store list',
  })
}

function imagesWith(images: StoreState['images'], wanted: string): ImageState[] {
  const hex = wanted.replace(/^sha256:/, '')
  if (!/^[0-9a-f]{12,64}$/.test(hex)) return []
  return [...images.values()].filter(({imageID}) => imageID.startsWith(`sha256:${hex}`))
}
