/** Where images go: one writer a format, onto any new archive. */
import type {NewMember} from '../../archive/writer.ts'
import type {Compression} from '../../compression/detect.ts'
import type {Digest} from '../../digest.ts'
import type {Platform, V1Node} from '../model.ts'

/** What is known of a layer before it is written. */
export interface KnownLayer {
  readonly diffID?: Digest | undefined
  /** Of the bytes as they will be stored. */
  readonly digest?: Digest | undefined
  /** Of the bytes as they will be stored. */
  readonly size?: number | undefined
}

/** A layer as it was written. */
export interface StoredLayer {
  readonly diffID: Digest
  /** Of the stored bytes. */
  readonly digest: Digest
  /** Bytes stored. */
  readonly size: number
  readonly compression: Compression
}

/** An image whose layers are all written. */
export interface NewImage {
  /** As names of the model. */
  readonly names: readonly string[]
  readonly platform: Platform
  /** As of the model. */
  readonly platformIndex?: string | undefined
  readonly imageID: Digest
  /** The exact bytes that the image ID is the digest of. */
  readonly config: Buffer
  /** Base first. */
  readonly layers: readonly StoredLayer[]
  /** Exact bytes of an OCI manifest that the image had, which are kept where they still say what is true. */
  readonly manifest?: Buffer | undefined
  /** Image ID of the parent, when that is written, too. */
  readonly parent?: Digest | undefined
  /** Before docker 1.10, when nothing of the image changes: the documents of its layers, base first. */
  readonly v1?: readonly V1Node[] | undefined
}

/** Writes images. Layers first, each once however many images share it; then the images; then the end. */
export interface ImageWriter {
  /** Compressions of layers that the readers of this format take. */
  readonly compressions: ReadonlySet<Compression>
  /** What layers are called by. Two that have it in common are one. */
  readonly identity: 'digest' | 'diffID'
  /**
   * Says which images will come, where that is known: down a pipe names must be known early.
   *
   * @param images their configs and the diffIDs of their layers, base first
   */
  expect(images: readonly {readonly config: Buffer; readonly diffIDs: readonly Digest[]}[]): void
  /** Begins a layer. Its content is written to what is returned, which goes to {@link addLayer} or is discarded. */
  startLayer(known: KnownLayer): Promise<NewMember>
  /** Takes a layer that is complete and was verified. No layer comes twice. */
  addLayer(layer: StoredLayer, member: NewMember): Promise<void>
  addImage(image: NewImage): Promise<void>
  /** Writes what leads to the images, and ends the archive. */
  finish(): Promise<void>
}
