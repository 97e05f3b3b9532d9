/** A destination is what the user types to say where images go: a format, and a place. */
import {ImgtoolError} from './errors.ts'
import {printableText} from './text.ts'

/** How images can be written. */
export type Format = keyof typeof formats

/** Every format by its prefix, with what it is. */
export const formats = {
  oci: 'an OCI layout in a directory, new or added to',
  'oci-archive': 'an OCI layout in a tar',
  'docker-archive': 'what docker saves since 25; readers of OCI take it, too',
  'docker-1.10': 'what docker saved from 1.10 to 24',
  'docker-v1': 'what docker saved before 1.10',
} as const

export interface Destination {
  readonly format: Format
  /** A path as typed, or `-` for standard output. */
  readonly path: string
  /** The name that the images get. */
  readonly name?: string
}

/** What {@link Destination.path} is when the archive goes to standard output. */
export const standardOutput = '-'

/** Formats by the ending of a bare path; the first that fits. */
const endings: readonly (readonly [RegExp, Format])[] = [
  [/\.oci(?:-archive)?\.tar$|\.oci$/, 'oci-archive'],
  [/\.tar$/, 'docker-archive'],
  [/\/$/, 'oci'],
]

/** Transports of other tools, which end at a daemon or a registry. */
const foreign = /^(?:docker|docker-daemon|containers-storage|dir|ostree|sif|registry|https?):/

/**
 * Reads a destination: `FORMAT:PATH[:NAME]`, or a path whose ending says the format.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID
 * @see containers-transports(5)
 * @example parseDestination('oci:layout:app:1.0') // {format: 'oci', path: 'layout', name: 'app:1.0'}
 */
export function parseDestination(text: string): Destination {
  const format = (Object.keys(formats) as Format[]).find((name) => text.startsWith(`${name}:`))
  if (format === undefined) return parseBare(text)
  const rest = text.slice(format.length + 1).replace(/^\/\/(?!\/\/)/, '')
  const [, path = '', name] = /^([^:]*)(?::(.*))?$/s.exec(rest) ?? []
  if (path === '' || path.includes('\0')) throw invalid(text, 'it has no path')
  if (path === standardOutput && format === 'oci') {
    throw invalid(text, 'a directory cannot go to standard output', 'Write oci-archive:- instead')
  }
  if (name === undefined) return {format, path}
  return {format, path, name: checkName(name)}
}

/**
 * Checks a name that images are to get.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID
 * @see OCI image-spec annotations.md, the grammar of org.opencontainers.image.ref.name; docker's names are among these
 */
export function checkName(name: string): string {
  const component = '[A-Za-z0-9]+(?:(?:[-._:@+]|--|__)[A-Za-z0-9]+)*'
  if (new RegExp(`^${component}(?:/${component})*$`).test(name)) return name
  throw new ImgtoolError('REFERENCE_INVALID', `Cannot use "${printableText(name)}" as a name of an image`, {
    hint: 'A name is like app:1.0 or host/team/app:1.0',
  })
}

function parseBare(text: string): Destination {
  if (foreign.test(text)) {
    throw invalid(
      text,
      'no daemon and no registry is written to',
      'Pipe it: imgtool convert ... docker-archive:- | docker load',
    )
  }
  const [, format] = endings.find(([ending]) => ending.test(text)) ?? []
  if (format !== undefined && !text.includes('\0')) return {format, path: text}
  throw invalid(
    text,
    'it does not say the format',
    `Put one in front: ${Object.keys(formats)
      .map((name) => `${name}:`)
      .join(', ')}`,
  )
}

function invalid(text: string, detail: string, hint?: string): ImgtoolError {
  return new ImgtoolError(
    'REFERENCE_INVALID',
    `Cannot write to "${printableText(text)}": ${detail}, expected FORMAT:PATH[:NAME]`,
    hint === undefined ? {} : {hint},
  )
}
