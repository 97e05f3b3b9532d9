/** Warnings of one run: a thousand entries with the same oddity are one warning. */

export interface Warning {
  /** What makes warnings alike. */
  readonly code: string
  /** One sentence, about the first of them. */
  readonly message: string
  /** How many there were. */
  readonly count: number
}

export class Warnings {
  readonly #byCode = new Map<string, Warning>()

  /** @param code warnings with the same one are counted; without it, those with the same message are */
  add(message: string, code: string = message): void {
    const known = this.#byCode.get(code)
    this.#byCode.set(code, {code, message: known?.message ?? message, count: (known?.count ?? 0) + 1})
  }

  /** In the order of their first appearance. */
  list(): Warning[] {
    return [...this.#byCode.values()]
  }

  /** One line each. */
  lines(): string[] {
    return this.list().map(({message, count}) => `Warning: ${message}${count > 1 ? ` (and ${count - 1} more)` : ''}`)
  }
}
