/** A new outer tar in a file. Contents are written once, also those whose name is only known behind them. */
import type {FileHandle} from 'node:fs/promises'
import {blockSize, endOfTar, paddingOf} from '../tar/blocks.ts'
import type {ByteString} from '../text.ts'
import {writeAt} from './spool.ts'
import {encodeHeader, type MemberFacts} from './tar-header.ts'
import type {ArchiveWriter, KnownFacts, NewMember} from './writer.ts'

/** Leaves room for a header and fills it in when its member has a name. */
export class TarFileWriter implements ArchiveWriter {
  readonly #handle: FileHandle
  readonly #mtime: number
  /** Where the next bytes go. Behind a content it is not at a block, and what is skipped then reads as zeros. */
  #end = 0

  /**
   * @param handle of an empty file; who opened it closes it
   * @param mtime of every member, seconds since 1970
   */
  constructor(handle: FileHandle, mtime: number) {
    this.#handle = handle
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
    await this.#append(bytes)
  }

  async start({name}: KnownFacts = {}): Promise<NewMember> {
    this.#pad()
    const begin = this.#end
    const room = name === undefined ? blockSize : encodeHeader({name, kind: 'file'}, this.#mtime).length
    const content = begin + room
    this.#end = content
    let size = 0
    return {
      get size() {
        return size
      },
      write: async (chunk) => {
        await this.#append(chunk)
        size += chunk.length
      },
      place: async (given) => {
        const header = encodeHeader({name: given, kind: 'file', size}, this.#mtime)
        if (header.length !== room) throw new Error(`no room for the name ${given}`)
        await writeAt(this.#handle, header, begin)
      },
      discard: async () => {
        await this.#handle.truncate(begin)
        this.#end = begin
      },
    }
  }

  finish(): Promise<void> {
    this.#pad()
    return this.#append(endOfTar)
  }

  async abort(): Promise<void> {}

  #add(facts: MemberFacts): Promise<void> {
    this.#pad()
    return this.#append(encodeHeader(facts, this.#mtime))
  }

  #pad(): void {
    this.#end += paddingOf(this.#end)
  }

  async #append(bytes: Buffer): Promise<void> {
    await writeAt(this.#handle, bytes, this.#end)
    this.#end += bytes.length
  }
}
