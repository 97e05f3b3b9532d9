/**
 * Writes layers as docker before 25 did, `<v1 id>/{VERSION,json,layer.tar}`. A layer that several images have is stored under
 * the first id; the other directories get a symlink.
 *
 * @see moby image/tarexport/save.go of docker 20.10, saveLayer; image/spec/v1.md
 */
import type {ArchiveWriter, NewMember} from '../../archive/writer.ts'
import type {Digest} from '../../digest.ts'
import {ImgtoolError} from '../../errors.ts'
import type {V1Document} from '../v1-ids.ts'
import {v1Documents} from '../v1-ids.ts'
import type {ImageWriter, KnownLayer, NewImage, StoredLayer} from './writer.ts'

export class V1Layers implements Pick<ImageWriter, 'expect' | 'startLayer' | 'addLayer'> {
  readonly #archive: ArchiveWriter
  /** Where layers will be, by diffID, and the v1 id of the directory. */
  readonly #expected = new Map<Digest, string>()
  /** The v1 id under which a layer is. */
  readonly #placed = new Map<Digest, string>()
  /** Complete layers that wait for their first image. */
  readonly #waiting = new Map<Digest, NewMember>()
  readonly #directories = new Set<string>()
  readonly #written = new Set<string>()

  constructor(archive: ArchiveWriter) {
    this.#archive = archive
  }

  expect(images: readonly {readonly config: Buffer; readonly diffIDs: readonly Digest[]}[]): void {
    for (const {config, diffIDs} of images) {
      for (const [at, {id}] of v1Documents(config, diffIDs).entries()) {
        if (!this.#expected.has(diffIDs[at]!)) this.#expected.set(diffIDs[at]!, id)
      }
    }
  }

  async startLayer({diffID, size}: KnownLayer): Promise<NewMember> {
    const id = diffID && this.#expected.get(diffID)
    if (id === undefined) return this.#archive.start()
    await this.#makeDirectory(id)
    return this.#archive.start({name: layerName(id), size})
  }

  async addLayer({diffID}: StoredLayer, member: NewMember): Promise<void> {
    const id = this.#expected.get(diffID)
    if (id === undefined) this.#waiting.set(diffID, member)
    else await this.#place(member, diffID, id)
  }

  /**
   * Writes the directories of an image.
   *
   * @returns v1 ids, base first, at least one
   * @throws {ImgtoolError} IMAGE_UNSUITABLE for an image without layers
   */
  async addImage({config, layers, names, v1}: NewImage): Promise<string[]> {
    if (layers.length === 0) {
      throw new ImgtoolError(
        'IMAGE_UNSUITABLE',
        `Cannot write ${names[0] ?? 'an image'} as docker before 25 did: it has no layers`,
        {hint: 'Write docker-archive: or oci-archive: instead'},
      )
    }
    const documents =
      v1 ??
      v1Documents(
        config,
        layers.map(({diffID}) => diffID),
      )
    for (const [at, document] of documents.entries()) await this.#addDirectory(document, layers[at]!.diffID)
    return documents.map(({id}) => id)
  }

  async #addDirectory({id, json}: V1Document, diffID: Digest): Promise<void> {
    if (this.#written.has(id)) return
    this.#written.add(id)
    await this.#makeDirectory(id)
    await this.#archive.write(`${id}/VERSION`, Buffer.from('1.0'))
    await this.#archive.write(`${id}/json`, json)
    const member = this.#waiting.get(diffID)
    if (member !== undefined) await this.#place(member, diffID, id)
    const holder = this.#placed.get(diffID)!
    if (holder !== id) await this.#archive.link(layerName(id), `../${layerName(holder)}`)
  }

  async #place(member: NewMember, diffID: Digest, id: string): Promise<void> {
    this.#waiting.delete(diffID)
    this.#placed.set(diffID, id)
    await this.#makeDirectory(id)
    await member.place(layerName(id))
  }

  async #makeDirectory(id: string): Promise<void> {
    if (this.#directories.has(id)) return
    this.#directories.add(id)
    await this.#archive.directory(id)
  }
}

function layerName(id: string): string {
  return `${id}/layer.tar`
}
