/** Starts the comparison here, or in a user namespace, whose root is nobody outside. */
import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {chownSync, mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import {text} from 'node:stream/consumers'
import {fileURLToPath} from 'node:url'
import type {Listed, Row} from './compare.ts'
import type {WayName} from './ways.ts'

const program = fileURLToPath(new URL('compare.ts', import.meta.url))

/** Root of the namespace, and how many ids it has. No other process has these. */
const [outerRoot, ids] = [200_000, 65_536]

export interface Compared {
  readonly rows: readonly Row[]
  /** How the process ended, if not well. */
  readonly problems: readonly string[]
}

/** Compares as whoever this is. @param disk takes what is unpacked */
export function compareHere(disk: string, archives: readonly Listed[], ways: readonly WayName[]): Promise<Compared> {
  const folder = join(disk, 'here')
  mkdirSync(folder)
  return collect(start([process.execPath, program, folder, ...ways], disk), archives)
}

/** Compares in a user namespace. */
export async function compareInNamespace(
  disk: string,
  archives: readonly Listed[],
  ways: readonly WayName[],
): Promise<Compared> {
  const folder = join(disk, 'inside')
  mkdirSync(folder)
  chownSync(folder, outerRoot, outerRoot)
  const id = String(outerRoot)
  // Whoever has no id in a namespace gets no privileges in it when a program starts: the ids come first.
  const wait = ['sh', '-c', 'echo && read -r _ && exec "$@"', 'sh']
  const enter = ['setpriv', '--reuid', id, '--regid', id, '--clear-groups', 'unshare', '--user', '--mount', ...wait]
  const child = start([...enter, process.execPath, program, folder, ...ways], folder)
  await once(child.stdout!, 'readable')
  for (const map of ['gid_map', 'uid_map']) writeFileSync(`/proc/${child.pid}/${map}`, `0 ${outerRoot} ${ids}\n`)
  child.stdin!.write('\n')
  return collect(child, archives)
}

/** @param temporary folder for what archives are spooled to */
function start([first, ...words]: readonly string[], temporary: string): ChildProcess {
  return spawn(first!, words, {env: {...process.env, TMPDIR: temporary}, stdio: ['pipe', 'pipe', 'inherit']})
}

async function collect(child: ChildProcess, archives: readonly Listed[]): Promise<Compared> {
  const ended = once(child, 'close')
  child.stdin!.end(JSON.stringify(archives))
  const lines = (await text(child.stdout!)).split('\n').filter((line) => line !== '')
  const [status, signal] = await ended
  const rows: Row[] = lines.map((line) => JSON.parse(line))
  const problems = status === 0 ? [] : [`ended with ${signal ?? status} after ${rows.at(-1)?.name ?? 'nothing'}`]
  return {rows, problems}
}
