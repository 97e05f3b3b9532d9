/**
 * Writes what docker saved before 1.10, and what it saved from 1.10 to 24: the same directories with a `manifest.json` and
 * configs beside them.
 *
 * @see moby image/tarexport/save.go of docker 20.10; image/spec/v1.md, v1.2.md
 */
import type {ArchiveWriter, NewMember} from '../../archive/writer.ts'
import type {Compression} from '../../compression/detect.ts'
import type {Digest} from '../../digest.ts'
import {digestHex} from '../../digest.ts'
import {dockerManifestName} from '../docker-archive.ts'
import {repositoriesName} from '../docker-v1.ts'
import {encodeManifest, encodeRepositories, type ManifestItem} from './docker-manifest.ts'
import {V1Layers} from './v1-layers.ts'
import type {ImageWriter, KnownLayer, NewImage, StoredLayer} from './writer.ts'

export class DockerV1Writer implements ImageWriter {
  readonly identity = 'diffID'
  readonly compressions: ReadonlySet<Compression> = new Set(['none'])
  readonly #archive: ArchiveWriter
  readonly #layers: V1Layers
  readonly #withManifest: boolean
  readonly #items = new Map<Digest, ManifestItem>()
  readonly #ids = new Map<string, string>()

  /** @param options.manifest adds what docker reads since 1.10 */
  constructor(archive: ArchiveWriter, options: {readonly manifest: boolean}) {
    this.#archive = archive
    this.#layers = new V1Layers(archive)
    this.#withManifest = options.manifest
  }

  expect(images: Parameters<ImageWriter['expect']>[0]): void {
    this.#layers.expect(images)
  }

  startLayer(known: KnownLayer): Promise<NewMember> {
    return this.#layers.startLayer(known)
  }

  addLayer(layer: StoredLayer, member: NewMember): Promise<void> {
    return this.#layers.addLayer(layer, member)
  }

  async addImage(image: NewImage): Promise<void> {
    const {names, imageID, config, parent} = image
    // Ids of docker before 1.10 stay only where nothing newer is beside them, which would have other ones.
    const ids = await this.#layers.addImage(this.#withManifest ? {...image, v1: undefined} : image)
    for (const name of names) this.#ids.set(name, ids.at(-1)!)
    if (!this.#withManifest) return
    const path = `${digestHex(imageID)}.json`
    const before = this.#items.get(imageID)
    if (before === undefined) await this.#archive.write(path, config)
    const layers = ids.map((id) => `${id}/layer.tar`)
    this.#items.set(imageID, {config: path, layers, names: [...(before?.names ?? []), ...names], parent})
  }

  async finish(): Promise<void> {
    if (this.#withManifest) await this.#archive.write(dockerManifestName, encodeManifest([...this.#items.values()]))
    if (this.#ids.size > 0) await this.#archive.write(repositoriesName, encodeRepositories(this.#ids))
    await this.#archive.finish()
  }
}
