/** The lock of docker's data-root, which whoever changes what refers to what has for that long. */
import {resolve} from 'node:path'
import {setTimeout as sleep} from 'node:timers/promises'
import * as os from '../os/libc.ts'
import {fromText} from '../text.ts'

/** Milliseconds between two attempts to get the lock, which nobody has for long. */
const lockInterval = 10

/**
 * Keeps other runs from changing what refers to what, without writing.
 *
 * @param store docker's data-root
 * @throws the signal's reason
 */
export async function lockStore(store: string, signal?: AbortSignal): Promise<Disposable> {
  const descriptor = openForLock(resolve(store))
  try {
    await takeLock(descriptor, signal)
  } catch (error) {
    os.close(descriptor)
    throw error
  }
  return {[Symbol.dispose]: () => void os.close(descriptor)}
}

/** Opens a directory that is to be locked, for which O_PATH does not do. @see flock(2) */
export function openForLock(path: string): number {
  const name = fromText(path)
  return os.check(os.openAt(os.AT_FDCWD, name, os.O_RDONLY | os.O_DIRECTORY), 'open', name)
}

/**
 * Takes the lock of a store.
 *
 * @param descriptor of its directory, the caller's
 * @throws the signal's reason
 */
export async function takeLock(descriptor: number, signal: AbortSignal | undefined): Promise<Disposable> {
  while (os.lock(descriptor) === os.EAGAIN) await sleep(lockInterval, undefined, signal && {signal})
  return {[Symbol.dispose]: () => void os.unlock(descriptor)}
}
