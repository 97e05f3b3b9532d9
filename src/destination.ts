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
  const program = format === 'oci' ? undefined : programFor(path)
  if (program !== undefined) throw invalid(text, uncompressed, pipeThrough(`convert ... ${format}:-`, program, path))
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
  if (text === '') throw invalid(text, 'it is empty')
  if (text.startsWith('dir:'))
    throw invalid(text, "skopeo's dir: form is not written", 'Write oci:, of which skopeo copy makes dir:')
  if (text === standardOutput) throw invalid(text, unsaid, 'Write docker-archive:- or oci-archive:-')
  const program = programFor(text)
  if (program !== undefined)
    throw invalid(text, uncompressed, pipeThrough('convert ... docker-archive:-', program, text))
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
    unsaid,
    `Put one in front: ${Object.keys(formats)
      .map((name) => `${name}:`)
      .join(', ')}`,
  )
}

const unsaid = 'it does not say the format'
const uncompressed = 'archives of images are not compressed as a whole'

/** What a tar can be compressed with. */
export type TarCompression = 'none' | 'gzip' | 'zstd'

/** What is compressed by whom, by the end of its name. @see GNU tar manual, 8.1.1, --auto-compress */
const programs: readonly (readonly [RegExp, string])[] = [
  [/\.(?:gz|tgz|taz)$/, 'gzip'],
  [/\.(?:zst|tzst)$/, 'zstd'],
  [/\.(?:xz|txz)$/, 'xz'],
  [/\.(?:bz2|tz2|tbz2?)$/, 'bzip2'],
  [/\.(?:lz)$/, 'lzip'],
  [/\.(?:lzma|tlz)$/, 'lzma'],
  [/\.lzo$/, 'lzop'],
]

function programFor(path: string): string | undefined {
  return programs.find(([ending]) => ending.test(path))?.[1]
}

/**
 * How the tar of a root file system is compressed, as the end of its name says.
 *
 * @param path as typed, or `-` for standard output
 * @throws {ImgtoolError} REFERENCE_INVALID for a compression that is not written
 */
export function compressionByName(path: string): TarCompression {
  const program = programFor(path) ?? 'none'
  if (program === 'none' || program === 'gzip' || program === 'zstd') return program
  throw new ImgtoolError('REFERENCE_INVALID', `Cannot write "${printableText(path)}": ${program} is not written`, {
    hint: pipeThrough('export ... -', program, path),
  })
}

/**
 * Refuses what is meant for {@link parseDestination} as the path of a file.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID
 */
export function checkFile(text: string): void {
  if (text === '' || text.includes('\0')) throw notFile(text, 'it is no path')
  const format = Object.keys(formats).find((name) => text.startsWith(`${name}:`))
  if (format === undefined && !foreign.test(text)) return
  const shown = printableText(text)
  const write = format === undefined ? '' : `To write an image: imgtool convert IMAGE ${shown}. `
  throw notFile(text, 'a root file system has no format', `${write}For a file of that name: ./${shown}`)
}

function notFile(text: string, detail: string, hint?: string): ImgtoolError {
  return new ImgtoolError(
    'REFERENCE_INVALID',
    `Cannot write "${printableText(text)}": ${detail}, expected FILE or -`,
    hint === undefined ? {} : {hint},
  )
}

function pipeThrough(command: string, program: string, path: string): string {
  return `Pipe it: imgtool ${command} | ${program} > ${printableText(path)}`
}

function invalid(text: string, detail: string, hint?: string): ImgtoolError {
  return new ImgtoolError(
    'REFERENCE_INVALID',
    `Cannot write to "${printableText(text)}": ${detail}, expected FORMAT:PATH[:NAME]`,
    hint === undefined ? {} : {hint},
  )
}
