/** The small archives of the repository, and what the tools that made them say of them. */
import {readFileSync} from 'node:fs'
import path from 'node:path'

const dir = path.resolve(import.meta.dirname, '../../fixtures')

/** What docker and skopeo say of an image. */
export interface ExpectedImage {
  readonly names: readonly string[]
  readonly imageID: string
  /** Before docker 1.10: the exact config. */
  readonly config?: string
  readonly platform?: string
  readonly diffIDs?: readonly string[]
  readonly steps?: number
  readonly emptySteps?: number
  readonly manifestDigest?: string
}

export interface ExpectedArchive {
  /** Not in the order of the archive. */
  readonly images: readonly ExpectedImage[]
  /** Before docker 1.10, one a directory. */
  readonly nodes?: readonly {readonly v1ID: string; readonly imageID: string; readonly parent: string | null}[]
}

/** Path of a fixture. */
export function fixture(name: string): string {
  return path.join(dir, name)
}

/** All fixtures, by name. */
export const expected: Readonly<Record<string, ExpectedArchive>> = readExpected()

function readExpected(): Record<string, ExpectedArchive> {
  const archives = JSON.parse(readFileSync(fixture('expected.json'), 'utf8')) as Record<string, ExpectedArchive>
  return Object.fromEntries(
    Object.entries(archives).map(([name, archive]) => [name, {...archive, images: byIdentity(archive.images)}]),
  )
}

/** umoci and skopeo know one image a name; here an image may have several. */
function byIdentity(images: readonly ExpectedImage[]): ExpectedImage[] {
  const groups = Map.groupBy(images, ({imageID}) => imageID)
  return [...groups.values()].map((group) => ({...group[0]!, names: group.flatMap(({names}) => names)}))
}
