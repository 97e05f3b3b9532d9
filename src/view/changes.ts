/** What differs between two trees, as `docker diff` prints it and as documents. */
import type {ListedChanges} from '../changes.ts'
import {printable} from '../text.ts'
import {bytesDocument} from './listing.ts'

type Change = ListedChanges['changes'][number]

const letters: Readonly<Record<Change['kind'], string>> = {added: 'A', changed: 'C', deleted: 'D'}

/** A line a change. */
export function formatChanges(changes: readonly Change[]): string[] {
  return changes.map(({kind, path}) => `${letters[kind]} /${printable(path)}`)
}

/** A change as a document. */
export function changeDocument({kind, path}: Change): Record<string, string> {
  return {kind, ...bytesDocument('path', `/${path}`)}
}
