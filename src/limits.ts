/** How much of what an archive says is believed. Every limit is an option, and every refusal names its limit. */
import {ImgtoolError} from './errors.ts'

export interface Limits {
  /** Layers of one image. @default 4096 */
  readonly layers: number
  /** Entries of one image, and directories that only their paths name. @default 5,000,000 */
  readonly entries: number
  /** Decompressed bytes of all layers of one image together, content of holes not counted. @default 64 GiB */
  readonly bytes: number
  /** Decompressed bytes for one stored byte, after the first 64 MiB of a gzip or xz layer. @default 1100 */
  readonly ratio: number
  /** Apparent size of one sparse file, holes counted. @default 16 TiB */
  readonly sparseSize: number
  /** Bytes of one extension header of a tar (PAX, GNU long name). @default 1 MiB */
  readonly extensionHeader: number
  /** Pieces of one sparse file. @default 65,536 */
  readonly sparsePieces: number
  /** Components of one path. @default 4096 */
  readonly depth: number
  /** Bytes of one JSON document. @default 4 MiB */
  readonly document: number
  /** Bytes of one image config. @default 8 MiB */
  readonly config: number
  /** Bytes of all JSON documents of one archive together, configs among them. @default 64 MiB */
  readonly documents: number
  /** Members of one archive. @default 1,000,000 */
  readonly members: number
  /** Nested indexes. @default 8 */
  readonly indexDepth: number
  /** Descriptors of all indexes together. @default 10,000 */
  readonly descriptors: number
  /** Ancestors of one layer before docker 1.10. @default 4096 */
  readonly parents: number
}

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

export const defaultLimits: Limits = {
  layers: 4096,
  entries: 5_000_000,
  bytes: 64 * GiB,
  ratio: 1100,
  sparseSize: 16 * 1024 * GiB,
  extensionHeader: MiB,
  sparsePieces: 65_536,
  depth: 4096,
  document: 4 * MiB,
  config: 8 * MiB,
  documents: 64 * MiB,
  members: 1_000_000,
  indexDepth: 8,
  descriptors: 10_000,
  parents: 4096,
}

/**
 * Refuses a value beyond its limit.
 *
 * @param what says what was counted, in the plural: "entries", "bytes of a document"
 * @throws {ImgtoolError} LIMIT_EXCEEDED that names the limit
 */
export function checkLimit(limits: Limits, name: keyof Limits, value: number | bigint, what: string): void {
  if (value > limits[name]) {
    throw new ImgtoolError(
      'LIMIT_EXCEEDED',
      `Limit "${name}" exceeded: ${value} ${what}, at most ${limits[name]} are read`,
      {
        hint: `Raise it with --limit ${name}=N if the archive is trusted`,
      },
    )
  }
}
