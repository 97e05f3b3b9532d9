/** The documents that docker reads: `manifest.json` since 1.10, `repositories` before. */
import type {Digest} from '../../digest.ts'
import {splitTag} from '../names.ts'

/** An image as `manifest.json` names it. */
export interface ManifestItem {
  /** Names of members. */
  readonly config: string
  readonly layers: readonly string[]
  readonly names: readonly string[]
  readonly parent?: Digest | undefined
}

/** @see moby image/tarexport/tarexport.go, manifestItem */
export function encodeManifest(items: readonly ManifestItem[]): Buffer {
  const document = items.map(({config, layers, names, parent}) => ({
    Config: config,
    // What Go writes for an image without a name.
    RepoTags: names.length === 0 ? null : names,
    Layers: layers,
    ...(parent && {Parent: parent}),
  }))
  return Buffer.from(`${JSON.stringify(document)}\n`)
}

/** @param ids name to the id of the topmost v1 layer; names have tags */
export function encodeRepositories(ids: ReadonlyMap<string, string>): Buffer {
  const repositories = new Map<string, Map<string, string>>()
  for (const [name, id] of [...ids].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const {repository, tag} = splitTag(name)!
    const tags = repositories.get(repository) ?? new Map()
    repositories.set(repository, tags.set(tag, id))
  }
  // Not objects: a repository may be called like what every object has.
  const members = [...repositories].map(
    ([repository, tags]) =>
      `${JSON.stringify(repository)}:{${[...tags].map((pair) => pair.map((text) => JSON.stringify(text)).join(':')).join()}}`,
  )
  return Buffer.from(`{${members.join()}}\n`)
}
