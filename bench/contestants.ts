/** Who takes part: the commands that make a root file system of an image, and the floors below which none can be. */
import {execFileSync} from 'node:child_process'
import process from 'node:process'
import {fileURLToPath} from 'node:url'
import type {Sample} from './corpus.ts'

export interface Contestant {
  readonly name: string
  /** The program that has to be there. */
  readonly program: string
  /** @param target a directory that does not exist, on an empty disk */
  readonly command: (sample: Sample, target: string) => readonly string[]
  /** Makes what the command needs, which is not measured. */
  readonly prepare?: (target: string) => Promise<AsyncDisposable>
}

/** Names that figures are compared by. */
export const names = {
  archive: 'imgtool docker-archive',
  layout: 'imgtool oci gzip',
  umoci: 'umoci oci gzip',
  tar: 'GNU tar, layers in order',
  bsdtar: 'bsdtar, layers in order',
  hash: 'openssl sha256',
  gunzip: 'node gunzip',
} as const

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

/** A command that measures this checkout. */
export const imgtool: readonly string[] = [process.execPath, path('../bin/run.js')]

/** All of them, in the order of the table. */
export const contestants: readonly Contestant[] = [
  {
    name: names.archive,
    program: process.execPath,
    command: ({archive}, target) => [...imgtool, 'unpack', `docker-archive:${archive}`, target],
  },
  {
    name: names.layout,
    program: process.execPath,
    command: ({layout}, target) => [...imgtool, 'unpack', `oci:${layout}`, target],
  },
  {
    name: names.umoci,
    program: 'umoci',
    command: ({layout}, target) => ['umoci', 'unpack', '--image', layout, target],
  },
  {
    name: names.tar,
    program: 'tar',
    command: ({tarLayers}, target) => extractEach('tar', ['--xattrs', '--xattrs-include=*'], tarLayers, target),
  },
  {
    name: names.bsdtar,
    program: 'bsdtar',
    command: ({tarLayers}, target) => extractEach('bsdtar', [], tarLayers, target),
  },
  {
    name: names.hash,
    program: 'openssl',
    command: ({archive}) => ['openssl', 'dgst', '-sha256', archive],
  },
  {
    name: names.gunzip,
    program: process.execPath,
    command: ({gzipLayers}) => [process.execPath, path('gunzip.ts'), ...gzipLayers],
  },
]

/** Whether the program is there. */
export function isInstalled({program}: Contestant): boolean {
  try {
    execFileSync('which', [program], {stdio: 'ignore'})
    return true
  } catch {
    return false
  }
}

/** One tar after the other. Layers hold links to what other layers deleted, so that some entries fail; the rest is done. */
function extractEach(program: string, options: readonly string[], layers: readonly string[], target: string): string[] {
  const words = [program, '--numeric-owner', ...options, '-C', target, '-xpf'].join(' ')
  return [
    'sh',
    '-c',
    `mkdir "${target}"; for layer; do ${words} "$layer" || failed=1; done; exit $failed`,
    'sh',
    ...layers,
  ]
}
