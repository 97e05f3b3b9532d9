/** A set with only some of its images, and of the layers before docker 1.10 only those that they stand on. */
import type {Image, ImageSet, V1Node} from './model.ts'

/** @param images some of the set's own; all of them give the set itself, with layers that no image reaches */
export function withImages(set: ImageSet, images: readonly Image[]): ImageSet {
  if (images.length === set.images.length) return set
  const v1 = new Map<string, V1Node>()
  for (const {v1ID = ''} of images.flatMap((image) => image.layers)) {
    const node = set.v1.get(v1ID)
    if (node !== undefined) v1.set(v1ID, node)
  }
  return {...set, images, v1}
}
