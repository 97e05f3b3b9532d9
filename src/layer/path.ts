/** Paths inside a root file system: components joined by `/`, nothing at either end, empty for the root. */
import type {ByteString} from '../text.ts'

/** Symlinks on one way that are followed, as many as Linux follows. @see path_resolution(7) */
export const maximumExpansions = 40

/** Joins two paths; either may be empty. */
export function joinPath(directory: ByteString, name: ByteString): ByteString {
  return directory === '' ? name : `${directory}/${name}`
}

/** The directory and the name of a path. */
export function splitPath(path: ByteString): {directory: ByteString; name: ByteString} {
  const slash = path.lastIndexOf('/')
  return {directory: slash === -1 ? '' : path.slice(0, slash), name: path.slice(slash + 1)}
}

/** The names that a path is made of, the first one first. */
export function components(path: ByteString): ByteString[] {
  return path === '' ? [] : path.split('/')
}

/** Number of components. */
export function pathDepth(path: ByteString): number {
  return components(path).length
}
