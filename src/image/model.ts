/** What an image is, whatever format it was saved in: a config and an ordered list of layers, base first. */
import type {Blob} from '../archive/archive.ts'
import type {Digest} from '../digest.ts'
import type {ImgtoolError} from '../errors.ts'

/** How an archive stores its images. */
export type Format = 'docker-v1' | 'docker-archive' | 'oci'

/** @see OCI image-spec image-index.md, platform */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

/** One step of a build, oldest first. @see OCI image-spec config.md, history */
export interface HistoryEntry {
  /** RFC 3339, in any zone, as stored. */
  readonly created?: string
  readonly createdBy?: string
  readonly author?: string
  readonly comment?: string
  /** The step made no layer. */
  readonly emptyLayer: boolean
}

/** A layer of an image: a tar of changes, maybe compressed. */
export interface Layer {
  /** Number in its image, base first, from 0. */
  readonly index: number
  /** The stored bytes, compressed or not. */
  readonly blob: Blob
  /** Digest of the uncompressed tar. Absent before docker 1.10, where it must be computed: see {@link v1ID}. */
  readonly diffID?: Digest
  /** What the config says the diffID is, of a tar that is lost: the blob is another one, made of the same files. */
  readonly lostDiffID?: Digest
  /** Digest of the stored bytes, where a manifest names it. */
  readonly digest?: Digest
  /** As a manifest claims it; what the bytes are is found by looking. */
  readonly mediaType?: string
  /** Id of the layer's directory in archives of docker before 25: 64 hex digits. */
  readonly v1ID?: string
  /** Size that the layer's own document claims, bytes; before docker 1.10 only. */
  readonly claimedSize?: number
}

/** One image of an archive. */
export interface Image {
  readonly format: Format
  /** Place among the images of its archive, from 0: what `@N` selects. */
  readonly index: number
  /** Names to show, `repository:tag`; sorted as stored; may be empty. */
  readonly names: readonly string[]
  /** Further spellings that select this image, such as the bare tag of an OCI layout. */
  readonly aliases: readonly string[]
  /** sha256 of the config. Absent before docker 1.10, where it must be computed from the layers. */
  readonly imageID?: Digest
  /** Id of the topmost v1 layer: the image's id before docker 1.10. */
  readonly v1ID?: string
  readonly platform: Platform
  /** What lists the image beside the same one for other platforms: digest of an index of OCI, or `index.json`. */
  readonly platformIndex?: string | undefined
  /** Exact bytes of the config. Before docker 1.10: of the topmost layer's `json`. */
  readonly config: Buffer
  /** Exact bytes of the manifest: the OCI manifest, or the whole `manifest.json`. Absent before docker 1.10. */
  readonly manifest?: Buffer
  readonly manifestDigest?: Digest
  /** Of the indexes below `index.json` that lead to the manifest. */
  readonly indexDigests?: readonly Digest[]
  /** Oldest first; before docker 1.10 one a layer. */
  readonly history: readonly HistoryEntry[]
  /** Base first. */
  readonly layers: readonly Layer[]
  readonly created?: string
  readonly author?: string
  /** Why the image can be listed, but not read: the archive is partial. */
  readonly broken?: ImgtoolError
  /** Image ID of the parent that a docker archive records, when that image is in the same archive. */
  readonly parent?: Digest
}

/**
 * What images have in common that are one image for several platforms: their names, or where they have none the index that
 * lists them. Undefined for one that stands alone.
 */
export function familyOf({names, platformIndex}: Pick<Image, 'names' | 'platformIndex'>): string | undefined {
  return names.length > 0 ? names.join('\0') : platformIndex
}

/** Stored bytes of all layers. */
export function storedSize({layers}: Pick<Image, 'layers'>): number {
  return layers.reduce((sum, {blob}) => sum + blob.size, 0)
}

/** A layer's directory of an archive before docker 1.10: an image of its own. */
export interface V1Node {
  /** 64 hex digits. */
  readonly id: string
  readonly parent?: string
  readonly history: HistoryEntry
  /** As the json claims it, bytes; 0 where it claims nothing. */
  readonly claimedSize: number
  readonly json: Buffer
  readonly layer: Blob
}

/** An image without documents that can be used: it is left out, and others are not. */
export interface LostImage {
  readonly names: readonly string[]
  /** Further spellings, as those of an {@link Image}. */
  readonly aliases?: readonly string[]
  /** What is known of it; an image may have lost all of these. */
  readonly imageID?: string
  readonly manifestDigest?: Digest
  readonly v1ID?: string
  /** As an index claims it. */
  readonly platform?: Readonly<Partial<Record<keyof Platform, string | undefined>>>
  readonly error: ImgtoolError
}

/** All images of one archive. */
export interface ImageSet {
  readonly format: Format
  /** In the order of the archive's own list. */
  readonly images: readonly Image[]
  /** Every v1 layer of an archive before docker 1.10, by id, also those that no image reaches. Else empty. */
  readonly v1: ReadonlyMap<string, V1Node>
  /** What was found that is odd but harmless, one sentence each. */
  readonly warnings: readonly string[]
  /** Images that were left out, with why; {@link warnings} say so, too. */
  readonly lost?: readonly LostImage[]
}
