/** What the tests against other tools share: whether they can run here, and a scratch folder. */
import {mkdtempSync, readFileSync} from 'node:fs'
import {access} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {delimiter, join} from 'node:path'
import process from 'node:process'
import test, {type TestFn} from 'ava'
import {run} from './run.ts'

const tools = [
  '/usr/bin/docker',
  '/usr/sbin/dockerd',
  'skopeo',
  'umoci',
  'podman',
  'ctr',
  'getfattr',
  'setcap',
  'fuse-overlayfs',
  '/bin/busybox',
  'strace',
  'mount',
  'tar',
  'python3',
]

/**
 * `test.serial` where root and the tools are there, else `test.skip`. With IMGTOOL_INTEROP=1 nothing is skipped: what is missing then fails.
 */
export const interopTest: TestFn | TestFn['skip'] = (await canRun()) ? test.serial : test.skip

/** A new folder below the temporary directory; not a short one, so that a socket in it has room for its name. */
export function makeScratch(): string {
  return mkdtempSync(join(tmpdir(), 'imgtool-interop-'))
}

/** Removes a scratch folder, and before that what a daemon left mounted in it. */
export async function removeScratch(directory: string): Promise<void> {
  const mounted = readFileSync('/proc/mounts', 'utf8').split('\n')
  const below = mounted.map((line) => line.split(' ')[1] ?? '').filter((point) => point.startsWith(`${directory}/`))
  for (const point of below.toSorted().toReversed()) await run('umount', ['-l', point])
  await run('rm', ['-rf', '--one-file-system', directory])
}

async function canRun(): Promise<boolean> {
  if (process.env.IMGTOOL_INTEROP === '1') return true
  if (process.getuid?.() !== 0) return false
  return (await Promise.all(tools.map(isThere))).every(Boolean)
}

async function isThere(tool: string): Promise<boolean> {
  const folders = tool.startsWith('/') ? [''] : (process.env.PATH ?? '').split(delimiter)
  const found = await Promise.allSettled(folders.map((folder) => access(join(folder, tool))))
  return found.some(({status}) => status === 'fulfilled')
}
