/** Counts what a harness tries, says what failed at once, and ends with the sum that CI reads. */
import process from 'node:process'

export class Tally {
  #passed = 0
  #failed = 0

  /** One more trial. @param problems what was wrong with it; none means that it passed */
  add(trial: string, problems: readonly string[]): void {
    if (problems.length === 0) this.#passed++
    else this.#failed++
    for (const problem of problems) process.stdout.write(`not ok: ${trial}: ${problem}\n`)
  }

  /** Prints the sum as the last line, and sets the exit status. */
  finish(): void {
    process.stdout.write(`${this.#passed} passed, ${this.#failed} failed\n`)
    // A harness that tried nothing has shown nothing.
    process.exitCode = this.#failed > 0 || this.#passed === 0 ? 1 : 0
  }
}
