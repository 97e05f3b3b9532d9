/** Writes images that are too large to be kept in memory or in the repository. */
import {createHash} from 'node:crypto'
import {closeSync, ftruncateSync, openSync, writeSync} from 'node:fs'
import {endOfTar, file, headerBlock, tar} from './tar.ts'

/** Bytes of a layer: themselves, or a number of zeros, which take no space in the archive's file. */
export type Part = Buffer | {readonly zeros: number}

/**
 * Writes an image as docker 1.10 and later save it, layer after layer.
 *
 * @param layers base first: whole tars, in parts
 */
export function writeDockerArchive(path: string, layers: readonly Iterable<Part>[]): void {
  const archive = new ArchiveFile(path)
  const diffIDs = layers.map((layer, number) => `sha256:${archive.add(`${number}/layer.tar`, layer)}`)
  const config = {architecture: 'amd64', os: 'linux', rootfs: {type: 'layers', diff_ids: diffIDs}}
  const manifest = [{Config: 'config.json', RepoTags: null, Layers: layers.map((_, number) => `${number}/layer.tar`)}]
  archive.add('config.json', [Buffer.from(JSON.stringify(config))])
  archive.add('manifest.json', [Buffer.from(JSON.stringify(manifest))])
  archive.finish()
}

/** Bytes behind the entries of a long image, as many as are read unless a limit is raised, nearly. */
const longTail = 60 * 2 ** 30

/**
 * Writes an image that takes a minute to read, and next to no space: zeros follow the entries of its layer. A run with it is found
 * at work however slow whoever looks is. It would fail in the end, because its diffID is made up.
 *
 * @param entries of the layer, with the end of its tar
 */
export function writeLongImage(path: string, entries: Buffer): void {
  const config = {architecture: 'amd64', os: 'linux', rootfs: {type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`]}}
  const manifest = [{Config: 'config.json', RepoTags: null, Layers: ['layer.tar']}]
  const documents = Object.entries({'config.json': config, 'manifest.json': manifest}).map(([name, document]) =>
    file(name, JSON.stringify(document)),
  )
  const size = entries.length + longTail
  const descriptor = openSync(path, 'w')
  writeSync(descriptor, Buffer.concat([headerBlock({name: 'layer.tar', size}), entries]))
  writeSync(descriptor, tar(...documents), 0, undefined, 512 + size)
  closeSync(descriptor)
}

const zeros = Buffer.alloc(1 << 20)

class ArchiveFile {
  readonly #descriptor: number
  #position = 0

  constructor(path: string) {
    this.#descriptor = openSync(path, 'w')
  }

  /** @returns the sha256 of the content */
  add(name: string, content: Iterable<Part>): string {
    const hash = createHash('sha256')
    const start = this.#position
    this.#position += 512
    for (const part of content) {
      if (Buffer.isBuffer(part)) this.#write(part, hash)
      else this.#skip(part.zeros, hash)
    }
    const size = this.#position - start - 512
    writeSync(this.#descriptor, headerBlock({name, size}), 0, 512, start)
    this.#position += (512 - (size % 512)) % 512
    return hash.digest('hex')
  }

  finish(): void {
    ftruncateSync(this.#descriptor, this.#position + endOfTar.length)
    closeSync(this.#descriptor)
  }

  #write(part: Buffer, hash: ReturnType<typeof createHash>): void {
    hash.update(part)
    this.#position += writeSync(this.#descriptor, part, 0, part.length, this.#position)
  }

  #skip(count: number, hash: ReturnType<typeof createHash>): void {
    for (let left = count; left > 0; left -= zeros.length)
      hash.update(left < zeros.length ? zeros.subarray(0, left) : zeros)
    this.#position += count
  }
}
