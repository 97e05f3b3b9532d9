/** A new outer tar down a pipe, where a header cannot be filled in later. */
import {endOfTar, paddingOf} from '../tar/blocks.ts'
import type {ByteString} from '../text.ts'
import {rangeBlob} from './file-range.ts'
import {openSpool, type Spool} from './spool.ts'
import {encodeHeader, type MemberFacts} from './tar-header.ts'
import type {ArchiveWriter, KnownFacts, NewMember} from './writer.ts'

/** Writes members whose name and size are known at once, and spools the others to a temporary file first. */
export class TarStreamWriter implements ArchiveWriter {
  readonly #write: (bytes: Buffer) => Promise<void>
  readonly #mtime: number
  readonly #spools = new Set<Spool>()

  /**
   * @param write takes the next bytes, which it is done with when it resolves
   * @param mtime of every member, seconds since 1970
   */
  constructor(write: (bytes: Buffer) => Promise<void>, mtime: number) {
    this.#write = write
    this.#mtime = mtime
  }

  directory(name: ByteString): Promise<void> {
    return this.#add({name, kind: 'directory'})
  }

  link(name: ByteString, target: ByteString): Promise<void> {
    return this.#add({name, kind: 'link', target})
  }

  async write(name: ByteString, bytes: Buffer): Promise<void> {
    await this.#add({name, kind: 'file', size: bytes.length})
    await this.#write(bytes)
    await this.#pad(bytes.length)
  }

  async start({name, size}: KnownFacts = {}): Promise<NewMember> {
    return name === undefined || size === undefined ? this.#startSpooled() : this.#startDirect(name, size)
  }

  finish(): Promise<void> {
    return this.#write(endOfTar)
  }

  async abort(): Promise<void> {
    for (const spool of this.#spools) await this.#close(spool)
  }

  async #startDirect(name: ByteString, size: number): Promise<NewMember> {
    await this.#add({name, kind: 'file', size})
    let written = 0
    return {
      get size() {
        return written
      },
      write: async (chunk) => {
        await this.#write(chunk)
        written += chunk.length
      },
      place: async () => {
        if (written !== size) throw new Error(`${name} has ${written} bytes, its header says ${size}`)
        await this.#pad(size)
      },
      discard: async () => {
        throw new Error(`${name} is already down the pipe`)
      },
    }
  }

  async #startSpooled(): Promise<NewMember> {
    const spool = await openSpool()
    this.#spools.add(spool)
    return {
      get size() {
        return spool.size
      },
      write: (chunk) => spool.write(chunk),
      place: (name) => this.#copy(spool, name),
      discard: () => this.#close(spool),
    }
  }

  async #copy(spool: Spool, name: ByteString): Promise<void> {
    const {handle, size} = spool
    await this.#add({name, kind: 'file', size})
    const blob = rangeBlob({name, offset: 0, size, open: async () => handle, close: async () => {}})
    for await (const chunk of blob.stream()) await this.#write(chunk)
    await this.#pad(size)
    await this.#close(spool)
  }

  async #close(spool: Spool): Promise<void> {
    if (this.#spools.delete(spool)) await spool.handle.close()
  }

  #add(facts: MemberFacts): Promise<void> {
    return this.#write(encodeHeader(facts, this.#mtime))
  }

  async #pad(size: number): Promise<void> {
    if (paddingOf(size) > 0) await this.#write(Buffer.alloc(paddingOf(size)))
  }
}
