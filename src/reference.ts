/**
 * A reference is what the user types to name an image: a transport, where the archive is, and which of its images.
 *
 * The spellings are those of containers-transports(5), two more that only imgtool has, and a bare path. Nothing here looks at the file system: whether a
 * colon belongs to a file's name is asked of the caller.
 */
import {ImgtoolError} from './errors.ts'
import {printableText} from './text.ts'

/** How the archive is to be read; `auto` goes by its content. */
export type Transport = 'auto' | 'docker-archive' | 'docker-1.10' | 'docker-v1' | 'docker-root' | 'oci' | 'oci-archive'

export interface Reference {
  readonly transport: Transport
  /** A path as typed, or `-` for standard input. */
  readonly path: string
  /** Storage driver whose images are meant, of a docker data-root. */
  readonly driver?: string
  /** Name, tag or id of one image of the archive. Never together with `index`. */
  readonly name?: string
  /** Place of one image in the archive, from 0. */
  readonly index?: number
}

/** What {@link Reference.path} is when the archive comes by standard input. */
export const standardInput = '-'

const transports = ['docker-archive', 'docker-1.10', 'docker-v1', 'docker-root', 'oci-archive', 'oci'] as const
// What may follow the path of a data-root as a driver, also where imgtool does not read it: no image is meant by it.
const drivers = [
  'overlay2',
  'overlay',
  'vfs',
  'aufs',
  'btrfs',
  'zfs',
  'devicemapper',
  'fuse-overlayfs',
  'windowsfilter',
]
// Transports of other tools. Users type them here too, and "no such file: docker" would not help them.
const foreignTransport = /^(?:docker|docker-daemon|containers-storage|dir|ostree|sif|registry|https?):/

/**
 * Reads a reference.
 *
 * A path ends at its first colon, unless `exists` knows a longer one: the longest existing path wins, so that files with
 * colons in their names can be read.
 *
 * @param exists tells whether a path exists; without it the first colon always ends the path
 * @throws {ImgtoolError} REFERENCE_INVALID
 * @see containers-transports(5)
 * @example parseReference('app.tar:busybox:1.36') // {transport: 'auto', path: 'app.tar', name: 'busybox:1.36'}
 */
export function parseReference(text: string, exists: (path: string) => boolean = () => false): Reference {
  const transport = transports.find((name) => text.startsWith(`${name}:`))
  if (transport === undefined) return parseBare(text, exists)
  const rest = text.slice(transport.length + 1)
  // `docker-archive://app.tar`: the slashes are a part of the prefix.
  return split(text, transport, rest.startsWith('//') ? rest.slice(2) : rest, exists)
}

/**
 * Writes a reference so that it can be typed. The inverse of {@link parseReference} for everything that that returns,
 * given the same files. Not quoted for a shell.
 */
export function formatReference(reference: Reference): string {
  const {transport, path, driver, name, index} = reference
  const selector = index !== undefined ? `:@${index}` : name !== undefined ? `:${name}` : ''
  const image = (driver === undefined ? '' : `:${driver}`) + selector
  if (transport === 'auto') return `${isBare(path) ? path : `./${path}`}${image}`
  return `${transport}:${path.startsWith('//') ? '//' : ''}${path}${image}`
}

/** Whether a path means itself when it stands without a transport. */
function isBare(path: string): boolean {
  return !transports.some((name) => path.startsWith(`${name}:`))
}

function parseBare(text: string, exists: (path: string) => boolean): Reference {
  const reference = split(text, 'auto', text, exists)
  if (foreignTransport.test(text) && !exists(reference.path)) {
    throw invalid(
      text,
      `the transport "${reference.path}" is not read`,
      text.startsWith('dir:')
        ? `Convert it first: skopeo copy ${printableText(text)} oci:layout:latest`
        : 'Save the image first: docker save IMAGE -o app.tar',
    )
  }
  return reference
}

function split(text: string, transport: Transport, rest: string, exists: (path: string) => boolean): Reference {
  const end = pathEnd(rest, exists)
  const path = rest.slice(0, end)
  if (path === '' || path.includes('\0')) throw invalid(text, 'it has no path')
  if (end === rest.length) return {transport, path}
  const selector = rest.slice(end + 1)
  return {transport, path, ...(transport === 'docker-root' ? parseStoreSelector : parseSelector)(text, selector)}
}

/** Where the path ends: at a colon or at the end of the text. */
function pathEnd(rest: string, exists: (path: string) => boolean): number {
  const first = rest.indexOf(':')
  if (first === -1) return rest.length
  if (rest.slice(0, first) === standardInput) return first
  for (let end = rest.length; end > first; end = rest.lastIndexOf(':', end - 1)) {
    if (exists(rest.slice(0, end))) return end
  }
  return first
}

/** `DRIVER`, `DRIVER:NAME`, or what any other reference may have. */
function parseStoreSelector(text: string, selector: string): Pick<Reference, 'driver' | 'name' | 'index'> {
  const driver = drivers.find((name) => selector === name || selector.startsWith(`${name}:`))
  if (driver === undefined) return parseSelector(text, selector)
  if (selector === driver) return {driver}
  return {driver, ...parseSelector(text, selector.slice(driver.length + 1))}
}

function parseSelector(text: string, selector: string): Pick<Reference, 'name' | 'index'> {
  if (selector === '') throw invalid(text, 'nothing follows the colon')
  if (!selector.startsWith('@')) return {name: selector}
  const index = Number(selector.slice(1))
  if (!/^@\d+$/.test(selector) || !Number.isSafeInteger(index)) {
    throw invalid(text, `"${printableText(selector)}" is not the number of an image`)
  }
  return {index}
}

function invalid(text: string, detail: string, hint?: string): ImgtoolError {
  return new ImgtoolError(
    'REFERENCE_INVALID',
    `Cannot read reference "${printableText(text)}": ${detail}, expected PATH[:NAME|:@INDEX]`,
    hint === undefined ? {} : {hint},
  )
}
