/** Reads the headers of an uncompressed tar, and seeks over contents. */
import type {Blob} from '../archive/archive.ts'
import type {TarParser} from './tar/parser.ts'

/** Bytes read at a time, so that many small files cost few system calls. */
const largeWindow = 256 * 1024

/**
 * Feeds a parser, whose sink gets contents in part or not at all.
 *
 * @param options.window bytes read at a time
 * @param options.onRead is told how many bytes were read, and ends it by false
 * @returns false when it was ended
 * @throws {ImgtoolError} TAR_INVALID and siblings, ARCHIVE_TRUNCATED
 */
export async function skim(
  blob: Blob,
  parser: TarParser,
  {
    window = largeWindow,
    onRead = () => true,
  }: {readonly window?: number; readonly onRead?: (bytes: number) => boolean} = {},
): Promise<boolean> {
  for (let position = 0; position < blob.size && !parser.hasEnded; ) {
    const chunk = await blob.read(position, window)
    if (!onRead(chunk.length)) return false
    parser.write(chunk)
    position += chunk.length + parser.skippable
    // Whether the tar may end within what would be passed over, the parser knows.
    if (position <= blob.size) parser.skip()
  }
  parser.finish()
  return true
}
