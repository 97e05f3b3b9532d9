/**
 * How directories are named in the options of a mount, where commas and colons end a name and a backslash means something else
 * to each version of a kernel. So no name is ever escaped: one that is not plain is replaced by that of a descriptor.
 */
import * as os from '../os/libc.ts'
import {longestOptionValue} from '../os/mount.ts'
import {type ByteString, fromText} from '../text.ts'

/** Its names are good until it is closed. */
export class OptionNames implements Disposable {
  readonly #process: string
  readonly #descriptors = new Map<string, number>()

  /** @param process who will read the names: this one, or another that has the same rights */
  constructor(process: 'this' | 'another') {
    this.#process = process === 'this' ? 'self' : String(globalThis.process.pid)
  }

  /** The path itself where every option can hold it, else that of a descriptor. @throws {ImgtoolError} */
  plain(path: string): ByteString {
    const bytes = fromText(path)
    return bytes.length <= longestOptionValue && !/[:,=\\"\s]/.test(bytes) ? bytes : this.short(path)
  }

  /** A path of few bytes, whatever the directory is called. @throws {ImgtoolError} where it cannot be opened */
  short(path: string): ByteString {
    const known = this.#descriptors.get(path)
    if (known !== undefined) return this.#name(known)
    const descriptor = os.openAt(os.AT_FDCWD, fromText(path), os.O_PATH | os.O_DIRECTORY)
    this.#descriptors.set(path, os.check(descriptor, 'open the layer', fromText(path)))
    return this.#name(descriptor)
  }

  /**
   * Options with plain names where those fit, else with short ones.
   *
   * @returns options of more bytes than the limit where even those do not fit
   * @throws {ImgtoolError} where a directory cannot be opened
   */
  fit(limit: number, build: (name: (path: string) => ByteString) => ByteString): ByteString {
    const plain = build((path) => this.plain(path))
    return plain.length <= limit ? plain : build((path) => this.short(path))
  }

  #name(descriptor: number): ByteString {
    return `/proc/${this.#process}/fd/${descriptor}`
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#descriptors.values()) os.close(descriptor)
    this.#descriptors.clear()
  }
}
