/** What all tars are made of, an archive's own and those of layers. */
import type {ByteString} from '../text.ts'

/** Headers are blocks, and contents are filled up to whole ones; bytes. @see POSIX pax, ustar interchange format */
export const blockSize = 512

/** Zero bytes behind a content. */
export function paddingOf(size: number): number {
  const over = size % blockSize
  return over === 0 ? 0 : blockSize - over
}

/** What ends a tar. */
export const endOfTar = Buffer.alloc(2 * blockSize)

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. @see POSIX pax, "pax Extended Header" */
export function encodePaxRecord(key: ByteString, value: ByteString): ByteString {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length
  return `${length}${rest}`
}
