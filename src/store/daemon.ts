/** Whether a docker daemon works on a data-root: it would not notice what is added, and write over it. */
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'

/**
 * Files below the data-root that a daemon has locked from its start to its end, as all users of their library have.
 *
 * @see moby volume/service/store.go, builder/builder-next; bbolt's flock
 */
const lockedFiles = ['volumes/metadata.db', 'buildkit/cache.db']

/** @throws {ImgtoolError} STORE_IN_USE */
export function requireNoDaemon(store: string): void {
  if (!hasDaemon(store)) return
  const message = `Cannot change the data-root "${printableText(store)}": a docker daemon runs on it`
  throw new ImgtoolError('STORE_IN_USE', message, {hint: 'Stop it first'})
}

/** Whether one runs there, as far as this process may see. */
export function hasDaemon(store: string): boolean {
  return lockedFiles.some((name) => isLocked(`${store}/${name}`))
}

function isLocked(path: string): boolean {
  const descriptor = os.openAt(os.AT_FDCWD, fromText(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
  if (descriptor < 0) return false
  try {
    return os.lock(descriptor) === os.EAGAIN
  } finally {
    os.close(descriptor)
  }
}
