/** What changes in the hostile cases for somebody without privileges: these differences, and no others, are documented. */

interface ExpectedEntry {
  /** Type: f, d, l, c, b or p. */
  readonly t: string
  readonly uid?: number
  readonly gid?: number
  /** Octal. */
  readonly mode?: string
}

/** The part of a case that matters here. */
export interface HostileCase {
  readonly tree: Readonly<Record<string, ExpectedEntry>> | null
}

/** The case with a tree that needs no privileges: everything belongs to who unpacks and runs as nobody else, devices are left out. */
export function withoutPrivileges<Case extends HostileCase>(hostile: Case): Case {
  if (hostile.tree === null) return hostile
  const kept = Object.entries(hostile.tree).filter(([, {t}]) => t !== 'c' && t !== 'b')
  return {...hostile, tree: Object.fromEntries(kept.map(([path, {uid, gid, ...rest}]) => [path, withoutOwner(rest)]))}
}

function withoutOwner(entry: ExpectedEntry): ExpectedEntry {
  if (entry.mode === undefined || entry.t === 'd') return entry
  return {...entry, mode: (Number.parseInt(entry.mode, 8) & 0o1777).toString(8).padStart(entry.mode.length, '0')}
}
