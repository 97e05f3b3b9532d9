/** Tells a compression by its first bytes. Names and media types of real archives are wrong too often to go by. */

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2'

/** First bytes, in hex. */
const magics: readonly (readonly [Compression, RegExp])[] = [
  /** @see RFC 1952 2.3.1; 8 is deflate, the only method */
  ['gzip', /^1f8b08/],
  /** @see RFC 8878 3.1.1, and 3.1.2 for the skippable frames that some tools write first */
  ['zstd', /^(?:28b52ffd|5.2a4d18)/],
  /** @see https://tukaani.org/xz/xz-file-format.txt 2.1.1.1 */
  ['xz', /^fd377a585a00/],
  // "BZh" alone may well start the first name in a tar: the head of the first block, or of the end, tells.
  ['bzip2', /^425a683[1-9](?:314159265359|177245385090)/],
]

/** @param head the first 16 bytes or more, where there are so many */
export function detectCompression(head: Buffer): Compression {
  const start = head.toString('hex', 0, 16)
  return magics.find(([, magic]) => magic.test(start))?.[0] ?? 'none'
}
