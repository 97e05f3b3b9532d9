/** Nobody's ids, which no file of a test has unless it is given to them. */
export const nobody = 65534

/** Does something as nobody where this is root: the system then refuses what only root may do. */
export function withoutRoot<Result>(action: () => Result): Result {
  if (process.getuid?.() !== 0) return action()
  process.setegid!(nobody)
  process.seteuid!(nobody)
  try {
    return action()
  } finally {
    process.seteuid!(0)
    process.setegid!(0)
  }
}
