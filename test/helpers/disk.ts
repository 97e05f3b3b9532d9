/**
 * A file system of its own, for what must neither fill nor depend on the one of the checkout: ext4 with a journal, in a file,
 * mounted as a loop device. Needs root.
 */
import {execFileSync} from 'node:child_process'
import {chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import process from 'node:process'

export interface DiskOptions {
  /** Bytes of the whole file system, its own tables included. */
  readonly size: number
  /** @default as mkfs.ext4 has it for the size */
  readonly inodes?: number
  /** How it is mounted, beside what it needs. @see ext4(5) */
  readonly mountOptions?: string
  /** Folder for the file. @default in memory where there is plenty, else the temporary directory */
  readonly folder?: string
}

/** Bytes and inodes, free or used. */
export interface Room {
  readonly bytes: number
  readonly inodes: number
}

/** A mounted disk. It goes with its last use, and with the process at the latest. */
export class Disk implements Disposable {
  /** Where it is mounted; holds nothing but `lost+found`. */
  readonly path: string
  readonly #folder: string

  constructor({size, inodes, mountOptions, folder = roomyFolder(size)}: DiskOptions) {
    this.#folder = mkdtempSync(join(folder, 'imgtool-disk-'))
    this.path = join(this.#folder, 'mounted')
    watchExit()
    mounted.add(this)
    const image = join(this.#folder, 'image')
    writeFileSync(image, '')
    truncateSync(image, size)
    // Tables that the kernel writes later would be written while something is measured, or when space is counted.
    const eager = ['-E', 'lazy_itable_init=0,lazy_journal_init=0']
    execFileSync('mkfs.ext4', [
      '-q',
      '-F',
      '-b',
      '4096',
      '-m',
      '0',
      ...eager,
      ...(inodes ? ['-N', String(inodes)] : []),
      image,
    ])
    mkdirSync(this.path)
    execFileSync('mount', ['-o', ['loop', ...(mountOptions ? [mountOptions] : [])].join(), image, this.path])
    // Tests without privileges must get there.
    chmodSync(this.#folder, 0o755)
  }

  /** What is left. */
  free(): Room {
    const {bavail, bsize, ffree} = statfsSync(this.path)
    return {bytes: bavail * bsize, inodes: ffree}
  }

  [Symbol.dispose](): void {
    if (!mounted.delete(this)) return
    const isMounted = tryRun('mountpoint', '-q', this.path)
    // A program that was killed may still hold a file for a moment.
    if (isMounted && !tryRun('umount', this.path)) tryRun('umount', '-l', this.path)
    rmSync(this.#folder, {recursive: true, force: true})
  }
}

/** Refuses to go on without what disks need. */
export function requireRoot(what: string): void {
  if (process.getuid?.() === 0) return
  process.stderr.write(`${what} needs root: it mounts file systems of its own\n`)
  process.exit(2)
}

const mounted = new Set<Disk>()
let watched = false

function watchExit(): void {
  if (watched) return
  watched = true
  process.on('exit', () => {
    for (const disk of mounted) disk[Symbol.dispose]()
  })
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
}

/** Memory holds the file, and the pages of what is mounted from it once more. */
function roomyFolder(size: number): string {
  try {
    const {bavail, bsize} = statfsSync('/dev/shm')
    if (Math.min(bavail * bsize, process.availableMemory()) > 3 * size) return '/dev/shm'
  } catch {
    // No memory file system here.
  }
  return tmpdir()
}

function tryRun(program: string, ...words: string[]): boolean {
  try {
    execFileSync(program, words, {stdio: 'ignore'})
    return true
  } catch {
    return false
  }
}
