/** A new archive as a directory. Every file is written under a name of its own and renamed when it is complete. */
import {randomBytes} from 'node:crypto'
import {type FileHandle, lstat, mkdir, open, readdir, rename, stat, symlink, unlink} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printableText, toText} from '../text.ts'
import {writeAt} from './spool.ts'
import type {ArchiveWriter, NewMember} from './writer.ts'

/** What the names of files under construction begin with. */
const mark = '.imgtool-'

/** Adds to a directory that is there: what it has under a name already is replaced by what is the same or newer. */
export class DirectoryWriter implements ArchiveWriter {
  readonly #root: string
  readonly #sync: boolean
  /** What abort() takes away: files that were not there before. */
  readonly #made = new Set<string>()
  readonly #open = new Set<FileHandle>()
  /** Directories with names that may not be on the disk yet. */
  readonly #renewed = new Set<string>()

  /** @param sync have a file, and all that was named before, on the disk before it gets its name */
  constructor(root: string, sync = false) {
    this.#root = root
    this.#sync = sync
  }

  async directory(name: ByteString): Promise<void> {
    const path = this.#path(name)
    await mkdir(path, {recursive: true})
    if ((await lstat(path)).isDirectory()) return void this.#renewed.add(dirname(path))
    throw new ImgtoolError('TARGET_INVALID', `Cannot write to "${printableText(path)}": it is no directory of its own`)
  }

  async link(name: ByteString, target: ByteString): Promise<void> {
    await symlink(toText(target), this.#path(name))
    this.#made.add(this.#path(name))
    this.#renewed.add(dirname(this.#path(name)))
  }

  async write(name: ByteString, bytes: Buffer): Promise<void> {
    const member = await this.start()
    await member.write(bytes)
    await member.place(name)
  }

  async start(): Promise<NewMember> {
    const path = join(this.#root, `${mark}${randomBytes(8).toString('hex')}`)
    const handle = await open(path, 'wx', 0o666)
    this.#made.add(path)
    this.#open.add(handle)
    let size = 0
    return {
      get size() {
        return size
      },
      write: async (chunk) => {
        await writeAt(handle, chunk, size)
        size += chunk.length
      },
      place: async (name) => {
        if (this.#sync) await this.#settle(handle)
        await this.#close(handle)
        await this.#rename(path, this.#path(name))
      },
      discard: async () => {
        await this.#close(handle)
        await unlink(path)
        this.#made.delete(path)
      },
    }
  }

  async finish(): Promise<void> {
    this.#made.clear()
  }

  async abort(): Promise<void> {
    for (const handle of this.#open) await this.#close(handle)
    for (const path of this.#made) await unlink(path).catch(() => {})
    this.#made.clear()
  }

  /** Removes files under construction of runs that were killed. Only for who has the directory to itself. */
  async removeLeftovers(): Promise<void> {
    for (const name of await readdir(this.#root)) {
      if (new RegExp(`^\\${mark}[0-9a-f]{16}$`).test(name)) await unlink(join(this.#root, name))
    }
  }

  async #rename(from: string, to: string): Promise<void> {
    const isNew = await stat(to).then(
      () => false,
      () => true,
    )
    await rename(from, to)
    this.#made.delete(from)
    if (isNew) this.#made.add(to)
    this.#renewed.add(dirname(to))
  }

  /** Has a file on the disk, and what was named before it; not what is named last, which nothing must take back any more. */
  async #settle(handle: FileHandle): Promise<void> {
    await handle.sync()
    for (const path of this.#renewed) {
      await using directory = await open(path)
      await directory.sync()
    }
    this.#renewed.clear()
  }

  async #close(handle: FileHandle): Promise<void> {
    if (this.#open.delete(handle)) await handle.close()
  }

  #path(name: ByteString): string {
    return join(this.#root, toText(name))
  }
}
