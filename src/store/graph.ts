/** The images of docker before 1.10: each layer is one, with a parent, and the driver knows it by the same id. */
import {addMember} from '../archive/names.ts'
import {isID} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {repositoriesName} from '../image/docker-v1.ts'
import {parseDocument} from '../image/json.ts'
import {v1Schema} from '../image/schemas.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {printableText} from '../text.ts'
import {graphFile, graphName, graphRepositoriesName, repositoriesSchema} from './layout.ts'
import {memoryBlob} from './memory-blob.ts'
import {toSize} from './metadata.ts'
import type {StoreMembers} from './open-store.ts'
import type {StoreFiles} from './store-files.ts'
import type {StoreLayers} from './store-layers.ts'

/**
 * Reads `graph/` as what `docker save` wrote then. Layers whose documents are damaged are left out, with a warning.
 *
 * @throws {ImgtoolError} LIMIT_EXCEEDED, PERMISSION_DENIED
 * @see moby graph/graph.go, graph/tags.go at v1.9.1
 */
export function readGraph(files: StoreFiles, layers: StoreLayers, limits: Limits): StoreMembers {
  const members: StoreMembers['members'] = new Map()
  const warnings: string[] = []
  const ids = (files.list(graphName) ?? []).filter(isID)
  checkLimit(limits, 'members', ids.length, 'layers of the store')
  const add = (name: string, bytes: Buffer) => addMember(members, {name, kind: 'file', blob: memoryBlob(name, bytes)})
  for (const id of ids) {
    const path = `${graphName}/${id}`
    const json = files.read(`${path}/${graphFile.json}`, limits.document)
    const parent = json && parentOf(json, id)
    if (json === undefined || parent === undefined) {
      warnings.push(`Layer ${id} is left out: its json is missing or damaged`)
      continue
    }
    const tarSplit = `${path}/${graphFile.tarSplit}`
    const name = `${id}/layer.tar`
    const blob = layers.blob({
      name,
      cacheID: id,
      parentCacheID: parent === '' ? undefined : parent,
      tarSplit: files.isFile(tarSplit) ? tarSplit : undefined,
      filesSize: toSize(files.line(`${path}/${graphFile.size}`)),
    })
    add(`${id}/VERSION`, Buffer.from('1.0'))
    add(`${id}/json`, json)
    if (blob === undefined) warnings.push(`Layer ${id} has no files`)
    else addMember(members, {name, kind: 'file', blob})
  }
  const repositories = readNames(files, layers.driver, new Set(members.keys()), warnings, limits)
  add(repositoriesName, Buffer.from(JSON.stringify(repositories)))
  return {members, warnings}
}

/** @returns an empty string at the base, undefined for a json that is damaged */
function parentOf(json: Buffer, id: string): string | undefined {
  try {
    const {parent} = parseDocument(json, id, v1Schema)
    return !parent || isID(parent) ? (parent ?? '') : undefined
  } catch (error) {
    if (!(error instanceof ImgtoolError)) throw error
    return undefined
  }
}

/** @returns tags by name, as in `repositories` */
function readNames(
  files: StoreFiles,
  driver: string,
  members: ReadonlySet<string>,
  warnings: string[],
  limits: Limits,
): object {
  const name = graphRepositoriesName(driver)
  const bytes = files.read(name, limits.document)
  if (bytes === undefined) return {}
  const {Repositories: repositories} = parseDocument(bytes, name, repositoriesSchema)
  const kept = [...repositories].map(([repository, tags]) => {
    const there = [...tags].filter(([tag, id]) => {
      const isThere = members.has(`${id}/json`)
      if (!isThere) warnings.push(`"${printableText(`${repository}:${tag}`)}" names an image that is not there`)
      return isThere
    })
    return [repository, Object.fromEntries(there)]
  })
  return Object.fromEntries(kept)
}
