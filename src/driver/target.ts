/** The directory that a run is for, before the run: what it is, and whether a root file system may take its place. */
import {readdirSync, readFileSync, realpathSync} from 'node:fs'
import {basename, dirname, isAbsolute, join, resolve} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'

/** What is under the target's name before the run. */
export type TargetState = 'absent' | 'empty' | 'occupied'

/** What may be done with a target. */
export interface TargetOptions {
  /** Take one that is not empty, too. */
  readonly force: boolean
  /** What to do about a mount point, whose place nothing can take. */
  readonly onMountPoint?: ((shown: string) => string) | undefined
}

/** A target's place: its parent directory, its name there, and how messages call it. */
export interface Target {
  readonly parent: string
  readonly name: string
  readonly shown: string
}

/**
 * Looks at a target without touching it.
 *
 * @throws {ImgtoolError} TARGET_EXISTS when it is not empty and may not be merged into, TARGET_INVALID when it is no
 *   directory, a symlink, or has no parent
 */
export function checkTarget(target: string, options: TargetOptions): TargetState {
  const located = locateTarget(target)
  const {name, shown} = located
  const directory = openParent(located)
  try {
    const state = readState(directory, name, shown, options)
    if (state === 'occupied' && options.force) requireNoMounts(located)
    if (state !== 'occupied' || options.force) return state
    throw new ImgtoolError('TARGET_EXISTS', `Cannot unpack to "${shown}": it exists and is not empty`, {
      hint: 'Give another directory, or --force to unpack over what is there',
    })
  } finally {
    os.close(directory)
  }
}

/**
 * Finds a target's place.
 *
 * @throws {ImgtoolError} TARGET_INVALID for a path that names no directory of its own
 */
export function locateTarget(target: string): Target {
  const shown = printableText(target)
  if (target === '') throw invalid(shown, 'it is no path')
  if (!isAbsolute(target) && workingDirectory() === undefined)
    throw invalid(shown, 'the directory you are in was deleted')
  // Who writes `link/` or `link/.` means what the link leads to, as for every other tool.
  const path = /\/\.?$/.test(target) || target === '.' ? followed(target) : resolve(target)
  const name = basename(path)
  if (name === '') throw invalid(shown, 'it is the root of this system')
  return {parent: dirname(path), name, shown}
}

function followed(target: string): string {
  try {
    return realpathSync(target)
  } catch {
    return resolve(target)
  }
}

/** @returns a descriptor of the parent directory, O_PATH */
export function openParent({parent, shown}: Target): number {
  const descriptor = os.openAt(os.AT_FDCWD, fromText(parent), os.O_PATH | os.O_DIRECTORY)
  if (descriptor === os.ENOENT || descriptor === os.ENOTDIR) {
    throw invalid(
      shown,
      'its parent is not a directory that exists',
      `Make it first: mkdir -p '${printableText(parent)}'`,
    )
  }
  return os.check(descriptor, `open the parent of "${shown}"`)
}

function readState(directory: number, name: string, shown: string, options: TargetOptions): TargetState {
  const status = os.statusAt(directory, fromText(name))
  if (status === os.ENOENT) return 'absent'
  if (typeof status === 'number') throw os.systemError(os.errnoName(status), `inspect "${shown}"`)
  requireReplaceable(directory, status, shown, options)
  const descriptor = os.check(os.openAt(directory, fromText(name), os.O_PLACE), `open "${shown}"`)
  try {
    return readdirSync(os.descriptorPath(descriptor)).length === 0 ? 'empty' : 'occupied'
  } catch (error) {
    throw os.systemError((error as NodeJS.ErrnoException).code ?? 'EIO', `list "${shown}"`, error)
  } finally {
    os.close(descriptor)
  }
}

/** The result takes the target's name by a rename, which some directories do not survive and others do not permit. */
function requireReplaceable(
  directory: number,
  status: os.Status,
  shown: string,
  {onMountPoint = () => 'Give a directory inside it'}: TargetOptions,
): void {
  const type = status.mode & os.S_IFMT
  if (type === os.S_IFLNK)
    throw invalid(shown, 'it is a symlink', 'End it with a slash to mean the directory that it leads to')
  if (type !== os.S_IFDIR) throw invalid(shown, 'it is not a directory')
  const parent = os.statusAt(directory, '')
  if (typeof parent !== 'number' && parent.device !== status.device) {
    throw invalid(shown, 'it is a mount point', onMountPoint(shown))
  }
  if (holdsThisProcess(status))
    throw invalid(shown, 'it is the directory you are in, or above it', 'Give a new directory, or go elsewhere first')
}

/**
 * A merge replaces the directory by a copy and removes the old one, which must not reach into what is mounted there.
 *
 * @see proc(5), /proc/[pid]/mountinfo: the fifth field is the mount point, with blanks and the like as octal escapes
 */
function requireNoMounts({parent, name, shown}: Target): void {
  const path = join(realpathSync(parent), name)
  const escaped = fromText(path).replace(/[\t\n \\]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`)
  const points = readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
  if (points.some((point) => point === escaped || point.startsWith(`${escaped}/`))) {
    throw invalid(shown, 'something is mounted in it', 'Unmount it first, or give another directory')
  }
}

/** Whether the working directory is the one of the status or below it: it would be gone under the feet of the shell. */
function holdsThisProcess({identity}: os.Status): boolean {
  let directory = workingDirectory()
  while (directory !== undefined) {
    const status = os.statusAt(os.AT_FDCWD, fromText(directory))
    if (typeof status !== 'number' && status.identity === identity) return true
    directory = directory === '/' ? undefined : dirname(directory)
  }
  return false
}

function workingDirectory(): string | undefined {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}

function invalid(shown: string, why: string, hint?: string): ImgtoolError {
  return new ImgtoolError('TARGET_INVALID', `Cannot unpack to "${shown}": ${why}`, hint === undefined ? {} : {hint})
}
