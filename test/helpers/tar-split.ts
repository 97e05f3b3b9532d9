/** Makes tar-splits of tars. */
import {TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits} from '../../src/limits.ts'
import {TarSplitWriter} from '../../src/store/tar-split-writer.ts'

/** The JSON of a tar-split, whose tar comes in chunks of the given size. */
export function splitTar(tar: Buffer, chunkSize = tar.length + 1): Buffer {
  const json: Buffer[] = []
  const writer = new TarSplitWriter((piece) => json.push(Buffer.from(piece)))
  const parser = new TarParser({entry() {}, data() {}, end() {}}, defaultLimits, () => {}, writer)
  // One buffer, overwritten each time: a chunk is valid until the call returns.
  const chunk = Buffer.alloc(chunkSize)
  for (let at = 0; at < tar.length; at += chunkSize) {
    parser.write(chunk.subarray(0, tar.copy(chunk, 0, at)))
    chunk.fill(0xee)
  }
  parser.finish()
  writer.finish()
  return Buffer.concat(json)
}
