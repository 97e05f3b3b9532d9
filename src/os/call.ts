/** How a system call is asked for its result, through the C library. */
import koffi from 'koffi'

/** A function of the C library that says by -1 that errno tells more. */
export type SystemFunction = (...args: (number | Buffer)[]) => number | bigint

/** How often at most a call that fails is made. */
const attempts = 8

/**
 * Makes a call return what the kernel returns: the result, or `-errno`.
 *
 * errno is read by a second call, and in between V8 may do something of its own, such as wait for a thread that compiles:
 * measured, in one process of a thousand one failed call then says EAGAIN or ENOENT. A call that failed has done nothing,
 * so it is made again until it has failed twice in a row for one reason.
 *
 * @param readErrno for tests
 */
export function systemCall<Call extends SystemFunction>(
  call: Call,
  readErrno: () => number = koffi.errno,
): (...args: Parameters<Call>) => number {
  return (...args) => {
    let failed = 0
    for (let attempt = 0; attempt < attempts; attempt++) {
      const result = Number(call(...args))
      if (result >= 0) return result
      const reason = readErrno()
      if (reason === failed) break
      failed = reason
    }
    return -failed
  }
}
