/**
 * What docker puts between an image and what a container writes: empty files and directories that it mounts its own on.
 *
 * @see moby daemon/initlayer/setup_unix.go
 */
import * as os from '../os/libc.ts'
import {fromText} from '../text.ts'

/** In a fixed order, which docker has not. */
const contents: readonly (readonly [path: string, kind: 'directory' | 'file' | {readonly target: string}])[] = [
  ['dev/pts', 'directory'],
  ['dev/shm', 'directory'],
  ['proc', 'directory'],
  ['sys', 'directory'],
  ['.dockerenv', 'file'],
  ['etc/resolv.conf', 'file'],
  ['etc/hosts', 'file'],
  ['etc/hostname', 'file'],
  ['dev/console', 'file'],
  ['etc/mtab', {target: '/proc/mounts'}],
]
const mode = 0o755

/**
 * Fills the root of a container that is mounted for writing. Directories stay as they are; whatever else is in the way goes,
 * so that no symlink of the image leads anywhere.
 */
export function writeInitLayer(root: string): void {
  const top = os.check(os.openAt(os.AT_FDCWD, fromText(root), os.O_PLACE), 'open the container')
  try {
    for (const [path, kind] of contents) {
      const names = path.split('/')
      const name = names.pop()!
      const parent = openDirectories(top, names)
      try {
        make(parent, name, kind)
      } finally {
        os.close(parent)
      }
    }
  } finally {
    os.close(top)
  }
}

/** @returns a descriptor of the last one */
function openDirectories(top: number, names: readonly string[]): number {
  let at = os.check(os.openAt(top, '.', os.O_PLACE), 'open the container')
  for (const name of names) {
    const below = at
    try {
      makeDirectory(below, name)
      at = os.check(os.openAt(below, name, os.O_PLACE), 'open', name)
    } finally {
      os.close(below)
    }
  }
  return at
}

function make(parent: number, name: string, kind: (typeof contents)[number][1]): void {
  clear(parent, name)
  if (kind === 'directory') makeDirectory(parent, name)
  else if (os.isDirectoryAt(parent, name)) return
  else if (kind === 'file') makeFile(parent, name)
  else os.check(os.symlinkAt(kind.target, parent, name), 'link', name)
}

function makeDirectory(parent: number, name: string): void {
  clear(parent, name)
  if (os.isDirectoryAt(parent, name)) return
  os.check(os.makeDirectoryAt(parent, name, mode), 'make', name)
  const made = os.check(os.openAt(parent, name, os.O_PLACE), 'open', name)
  os.changeModeOfPath(made, mode)
  os.close(made)
}

function makeFile(parent: number, name: string): void {
  const flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
  const made = os.check(os.openAt(parent, name, flags, mode), 'make', name)
  os.changeMode(made, mode)
  os.close(made)
}

function clear(parent: number, name: string): void {
  if (!os.isDirectoryAt(parent, name)) os.unlinkAt(parent, name)
}
