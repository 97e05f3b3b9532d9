/**
 * Writes what docker 25 and later saves: an OCI layout with a `manifest.json` beside it over the same blobs, so that every
 * `docker load` since 1.10 and every reader of OCI takes it.
 *
 * @see moby image/tarexport/save.go of docker 25; containerd core/images/archive/exporter.go
 */
import type {ArchiveWriter, NewMember} from '../../archive/writer.ts'
import type {Compression} from '../../compression/detect.ts'
import {dockerManifestName} from '../docker-archive.ts'
import {blobName} from '../oci.ts'
import {encodeManifest, type ManifestItem} from './docker-manifest.ts'
import {OciWriter} from './oci.ts'
import type {ImageWriter, KnownLayer, NewImage, StoredLayer} from './writer.ts'

export class DockerArchiveWriter implements ImageWriter {
  readonly identity = 'digest'
  /** dockerd decompresses gzip; with zstd older ones fail in the middle. */
  readonly compressions: ReadonlySet<Compression> = new Set(['none', 'gzip'])
  readonly #archive: ArchiveWriter
  readonly #layout: OciWriter
  readonly #items: ManifestItem[] = []

  constructor(archive: ArchiveWriter) {
    this.#archive = archive
    this.#layout = new OciWriter(archive)
  }

  expect(): void {}

  startLayer(known: KnownLayer): Promise<NewMember> {
    return this.#layout.startLayer(known)
  }

  addLayer(layer: StoredLayer, member: NewMember): Promise<void> {
    return this.#layout.addLayer(layer, member)
  }

  async addImage(image: NewImage): Promise<void> {
    await this.#layout.addImage(image)
    const layers = image.layers.map(({digest}) => blobName(digest))
    this.#items.push({config: blobName(image.imageID), layers, names: image.names, parent: image.parent})
  }

  async finish(): Promise<void> {
    await this.#layout.finishLayout()
    await this.#archive.write(dockerManifestName, encodeManifest(this.#items))
    await this.#archive.finish()
  }
}
