/** The images that are measured: those of `shared/corpus`, found or built by its scripts. */
import {execFileSync} from 'node:child_process'
import {existsSync, mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {join, resolve} from 'node:path'
import process from 'node:process'

/** One image in every form that a contestant reads. */
export interface Sample {
  readonly name: string
  /** As `docker save` wrote it, with uncompressed layers. */
  readonly archive: string
  /** An OCI layout of gzip layers, and the layers' files in it, base first. */
  readonly layout: string
  readonly gzipLayers: readonly string[]
  /** The uncompressed layers as files of their own, base first; beside the archive, on the same file system. */
  readonly tarLayers: readonly string[]
}

const corpus = process.env.CORPUS ?? '/var/tmp/imgtool-corpus'
const scripts = resolve(import.meta.dirname, '../../shared/corpus')
const steps = ['01-base.sh', '02-app.sh', '03-many-big.sh', '04-save.sh', '06-oci.sh']
/** The tag that the scripts give. */
const tag = '1.0'

/** Builds what is missing; takes a network, docker and twenty minutes. */
export function buildMissing(names: readonly string[]): void {
  const missing = names.filter((name) => !existsSync(archiveOf(name)) || !existsSync(layoutOf(name)))
  if (missing.length === 0) return
  if (!existsSync(scripts))
    throw new Error(`${missing.join(', ')} not found in ${corpus}, nor ${scripts} to build them`)
  process.stderr.write(`Building ${missing.join(', ')} in ${corpus}\n`)
  const run = (script: string, ...words: string[]) =>
    execFileSync(join(scripts, script), words, {env: {...process.env, CORPUS: corpus}, stdio: 'inherit'})
  run('dockerd.sh', 'overlay2')
  try {
    for (const step of steps) run(step)
  } finally {
    process.kill(Number(readFileSync(join(corpus, 'docker-exec/dockerd.pid'), 'utf8')))
  }
}

/** The samples with these names. Their layers take as much space again; they go with {@link Samples}. */
export class Samples implements Disposable {
  readonly list: readonly Sample[]
  readonly #folder: string

  constructor(names: readonly string[]) {
    this.#folder = mkdtempSync(join(corpus, 'bench-'))
    this.list = names.map((name) => makeSample(name, join(this.#folder, name)))
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, {recursive: true, force: true})
  }
}

function archiveOf(name: string): string {
  return join(corpus, 'save', `${name}.tar`)
}

function layoutOf(name: string): string {
  return join(corpus, 'oci', `${name}-gzip`)
}

function makeSample(name: string, folder: string): Sample {
  const archive = archiveOf(name)
  execFileSync('mkdir', [folder])
  execFileSync('tar', ['-xf', archive, '-C', folder])
  const [{Layers}] = readJSON(join(folder, 'manifest.json')) as [{Layers: string[]}]
  const layout = layoutOf(name)
  return {
    name,
    archive,
    layout: `${layout}:${tag}`,
    gzipLayers: layersOf(layout),
    tarLayers: Layers.map((layer) => join(folder, layer)),
  }
}

function layersOf(layout: string): string[] {
  const blob = (digest: string) => join(layout, 'blobs', digest.replace(':', '/'))
  const index = readJSON(join(layout, 'index.json')) as {manifests: [{digest: string}]}
  const manifest = readJSON(blob(index.manifests[0].digest)) as {layers: {digest: string}[]}
  return manifest.layers.map(({digest}) => blob(digest))
}

function readJSON(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}
